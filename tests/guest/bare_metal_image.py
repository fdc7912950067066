"""Builds the bare-metal guest of tests/guest/bare_metal/ in each form that a kernel comes in."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "bare_metal"
# fmt: off
_COMPILE = [
    "gcc", "-std=gnu11", "-m64", "-O2", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror",
    "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns",
    # No red zone: interrupts come on the interrupted stack. No vector registers: nobody has switched them on.
    "-mno-red-zone", "-mgeneral-regs-only",
]
_LINK = [
    "-nostdlib", "-no-pie", "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack",
    "-Wl,--no-warn-rwx-segments", "-Wl,--fatal-warnings",
]
_FLATTEN = ["objcopy", "-O", "binary", "--set-section-flags", ".bss=alloc,load,contents"]
# fmt: on


class BareMetalImages:
    """The guest as an ELF with a PVH note, as one without, and as a flat image.

    The latter two are the same bytes, from guest-physical 16 MiB on.
    """

    def __init__(self, directory: Path) -> None:
        """Compiles and links into directory.

        Raises:
            subprocess.CalledProcessError: The guest can't be built; gcc has said why.
        """
        self.pvh = directory / "guest_pvh.elf"
        self.elf = directory / "guest.elf"
        self.flat = directory / "guest.bin"
        sources = sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.S"), *SOURCES.glob("programs/*.c")])
        with_note = [str(path) for path in sources]
        without_note = [str(path) for path in sources if path.name != "pvh_note.S"]
        for output, files in ((self.pvh, with_note), (self.elf, without_note)):
            subprocess.run(
                [*_COMPILE, *_LINK, "-T", str(SOURCES / "image.ld"), "-o", str(output), *files], check=True
            )
        subprocess.run([*_FLATTEN, str(self.elf), str(self.flat)], check=True)

    def form(self, name: str) -> Path:
        """The image of that form: pvh, elf or flat."""
        return {"pvh": self.pvh, "elf": self.elf, "flat": self.flat}[name]
