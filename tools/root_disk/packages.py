"""Which Debian packages the root disk consists of, and their versions of today."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tools.debian_kernel.package import DebianPackage, PackageError, ask, fields, with_lists

# Beside what Debian calls essential (bash, coreutils, dpkg, login, util-linux, ...): what a small
# installation has, and what tests of disks use. apt finds their dependencies; recommendations are left out.
WANTED = (
    "acpid",  # the power button
    "apt",
    "e2fsprogs",
    "fio",
    "iproute2",
    "kmod",
    "mount",
    "procps",
    # Debian's other init: what systemd does before the shell takes too long where the CPU is emulated.
    "sysvinit-core",
    "usr-is-merged",  # or the package that merges /usr comes in, and perl with it
)


def closure(wanted: Iterable[str]) -> list[DebianPackage]:
    """All packages of a Debian that has the wanted ones and the essential ones, as apt would install it.

    Raises:
        PackageError: apt's lists don't have one of them, or they don't go together.
    """
    names = sorted(wanted)
    # A system with nothing installed, whatever this one has.
    nothing = ["-o", "Dir::State::status=/dev/null", "-o", "APT::Install-Recommends=false"]
    simulate = ["apt-get", "install", "-q", "--simulate", *nothing, "?essential", *names]
    simulated = with_lists(" ".join(names), lambda: ask(simulate))
    installs = re.findall(r"^Inst (\S+) \((\S+) ", simulated, flags=re.MULTILINE)
    if not installs:
        raise PackageError(f"apt would install nothing for {' '.join(names)}")
    pairs = {(name.partition(":")[0], version) for name, version in installs}
    # Of two stanzas of one version, from two sources, the first is the one that apt downloads.
    found: dict[tuple[str, str], DebianPackage] = {}
    for stanza in ask(["apt-cache", "show", *(f"{name}={version}" for name, version in sorted(pairs))]).split(
        "\n\n"
    ):
        known = fields(stanza)
        pair = (known.get("Package", ""), known.get("Version", ""))
        if pair in pairs and "SHA256" in known:
            found.setdefault(pair, DebianPackage(*pair, known["SHA256"]))
    unknown = pairs - found.keys()
    if unknown:
        raise PackageError(
            f"apt's lists have no checksum of {', '.join(name for name, _ in sorted(unknown))}"
        )
    return [found[pair] for pair in sorted(pairs)]
