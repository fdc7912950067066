"""Compiles the profiles to BPF by libseccomp, as C that both extensions are built with.

Only building needs libseccomp: what is installed has the programs as constant data (DESIGN §6).
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Sequence

import pyseccomp  # type: ignore[import-untyped]

from seccomp_profiles.profile import FOLDER, Profile, ProfileError, read_profiles

GENERATED = FOLDER / "_compiled_profiles.c"
# What an extension is built from for filters_install() and its like (paths in the checkout), and the header.
FILTER_SOURCES = ("seccomp_profiles/filters.c", f"seccomp_profiles/{GENERATED.name}")
FILTER_HEADER = FOLDER / "filters_cdef.h"

# struct sock_filter: code, jt, jf, k.
_INSTRUCTION = struct.Struct("=HBBI")
_MORE_THAN_ANY_CALL = 1024
_BINARY_TREE = 2  # seccomp_attr_set(3): SCMP_FLTATR_CTL_OPTIMIZE


def compile_profiles() -> None:
    """Writes GENERATED anew if it would change.

    Raises:
        ProfileError: A profile isn't as it should be.
    """
    text = compiled_source(read_profiles())
    if not GENERATED.exists() or GENERATED.read_text(encoding="utf-8") != text:
        GENERATED.write_text(text, encoding="utf-8")


def compiled_source(profiles: Sequence[Profile]) -> str:
    """The C file of some profiles."""
    return "\n".join(_lines(profiles)) + "\n"


def compile_profile(profile: Profile) -> list[tuple[int, int, int, int]]:
    """A profile as BPF instructions (code, jt, jf, k).

    Raises:
        ProfileError: It names a call that libseccomp doesn't know.
    """
    made = pyseccomp.SyscallFilter(pyseccomp.TRAP)
    # Calls of another architecture's numbering are reported like any other.
    made.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.TRAP)
    # A binary search: the kernel tries every number when a filter is installed, in half the time then.
    made.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    for rule in profile.rules:
        action = pyseccomp.ERRNO(rule.error_number) if rule.error_number else pyseccomp.ALLOW
        arguments = [
            pyseccomp.Arg(
                comparison.index,
                getattr(pyseccomp, comparison.operator.removeprefix("SCMP_CMP_")),
                comparison.value,
                comparison.value_two,
            )
            for comparison in rule.comparisons
        ]
        try:
            made.add_rule(action, rule.call, *arguments)
        except (OSError, ValueError) as error:
            raise ProfileError(f"{profile.name}: {rule.call}: {error}") from error
    with tempfile.TemporaryFile() as program:
        made.export_bpf(program)
        program.seek(0)
        return list(_INSTRUCTION.iter_unpack(program.read()))


def system_call_number(name: str) -> int:
    """A call's number on this machine; below 0 if it has none here."""
    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))


def _lines(profiles: Sequence[Profile]) -> Iterator[str]:
    yield "/* Written by compile_profiles.py when the package is built. */"
    yield '#include "seccomp_profiles/compiled_profile.h"'
    for profile in profiles:
        yield f"\nstatic const struct sock_filter program_{profile.name}[] = {{"
        for code, true, false, k in compile_profile(profile):
            yield f"    {{{code:#06x}, {true}, {false}, {k:#x}}},"
        yield f"}};\nstatic const struct filter_rule rules_{profile.name}[] = {{"
        for rule in profile.rules:
            yield f'    {{"{rule.call}", "{rule.condition}", {system_call_number(rule.call)}}},'
        yield "};"
    yield "\nconst struct compiled_profile compiled_profiles[] = {"
    for profile in profiles:
        program, rules = f"program_{profile.name}", f"rules_{profile.name}"
        yield f'    {{"{profile.name}", {program}, {rules}, sizeof({program}) / sizeof({program}[0]),'
        yield f"     sizeof({rules}) / sizeof({rules}[0])}},"
    yield f"}};\nconst size_t compiled_profile_count = {len(profiles)};"
    yield "\nconst char *const system_call_names[] = {"
    for number in range(_MORE_THAN_ANY_CALL):
        name = _system_call_name(number)
        if name is not None:
            yield f'    [{number}] = "{name}",'
    yield "};\nconst size_t system_call_name_count ="
    yield "    sizeof(system_call_names) / sizeof(system_call_names[0]);"


def _system_call_name(number: int) -> str | None:
    try:
        name = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, number)
    except ValueError:  # no call has this number
        return None
    return name.decode() if isinstance(name, bytes) else str(name)
