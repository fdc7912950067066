"""The options about the machine: its name, board, CPUs, memory, what it boots, its clock."""

from __future__ import annotations

from vmm_main.command_line.option_table import Key, Option, OptionTable
from vmm_main.command_line.value_types import Boolean, Choice, Integer, Path, Size, Text, Uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.vm_config import VmConfig

# The contract's limits.
_NAME_MAX_CHARACTERS = 255
_MAX_CPUS = 254
_MEMORY_MIN_BYTES, _MEMORY_MAX_BYTES = 256 << 20, 512 << 30
_PAGE_BYTES = 4096
_APPEND_MAX_CHARACTERS = 1 << 20  # more than any kernel takes; its own limit is checked later


def _name(config: VmConfig, values: dict[str, Any]) -> None:
    config.name = values["guest"]
    for key in ("process", "debug-threads"):
        if key in values:
            config.no_effect.append(f"-name {key}=")


def _uuid(config: VmConfig, uuid: str) -> None:
    config.uuid = uuid


def _machine(config: VmConfig, values: dict[str, Any]) -> None:
    config.machine_type = values.get("type", config.machine_type)
    config.dump_guest_core = values.get("dump-guest-core", config.dump_guest_core)
    config.mem_share = values.get("mem-share", config.mem_share)
    if "usb" in values:
        config.no_effect.append("-machine usb=")


def _smp(config: VmConfig, values: dict[str, Any]) -> None:
    cpus = values["cpus"]
    maximum = values.get("maxcpus", cpus)
    if maximum != cpus:
        raise ValueError(f"maxcpus={maximum}: CPUs can't be added later; allowed is {cpus}, as many as cpus")
    topology = [values[key] for key in ("sockets", "dies", "clusters", "cores", "threads") if key in values]
    if topology:
        product = 1
        for count in topology:
            product *= count
        if product != cpus:
            raise ValueError(f"the topology has {product} CPUs; allowed is {cpus}, as many as cpus")
        if values.get("cores", 1) != cpus:
            config.no_effect.append(f"-smp topology (the guest sees one socket of {cpus} cores)")
    config.cpus = cpus


def _memory(config: VmConfig, values: dict[str, Any]) -> None:
    config.memory_bytes = values["size"]


def _kernel(config: VmConfig, path: str) -> None:
    config.kernel_path = path


def _initrd(config: VmConfig, path: str) -> None:
    config.initrd_path = path


def _append(config: VmConfig, words: str) -> None:
    config.append = words


def _rtc(config: VmConfig, values: dict[str, Any]) -> None:
    config.rtc_base_is_utc = values.get("base", "utc") == "utc"
    for key in ("clock", "driftfix"):
        if key in values:
            config.no_effect.append(f"-rtc {key}=")


def _start_stopped(config: VmConfig, _given: bool) -> None:
    config.start_paused = True


def _no_reboot(config: VmConfig, _given: bool) -> None:
    config.no_reboot = True


def _no_shutdown(config: VmConfig, _given: bool) -> None:
    config.no_shutdown = True


_CPU_COUNT = Integer(1, _MAX_CPUS)

TABLE = OptionTable(
    "The machine",
    Option(
        "-name",
        "Names the VM, for QMP's query-name and for people. The other keys are libvirt's, without effect.",
        _name,
        Key("guest", Text("NAME", 1, _NAME_MAX_CHARACTERS), "The name.", required=True),
        Key("process", Text("NAME", 1, _NAME_MAX_CHARACTERS), "No effect."),
        Key("debug-threads", Boolean(), "No effect: threads always have names."),
        first_key="guest",
    ),
    Option("-uuid", "Gives the VM an id, for QMP's query-uuid.", _uuid, value=Uuid()),
    Option(
        "-machine",
        "Chooses the board. Without it, it is microvm.",
        _machine,
        Key("type", Choice("microvm"), "The board: microvm is the light VM, with devices on the MMIO bus."),
        Key("accel", Choice("kvm"), "What runs the guest's code; there is nothing else."),
        Key(
            "dump-guest-core",
            Boolean(),
            "Whether a core dump of the main process holds the guest's memory (default on).",
        ),
        Key(
            "mem-share",
            Boolean(),
            "Whether processes that aren't this VM's own may be given the guest's memory (default off).",
        ),
        Key("usb", Boolean(), "No effect: there is no USB."),
        aliases=("-M",),
        first_key="type",
    ),
    Option(
        "-smp",
        "Sets the number of CPUs (default 1). The guest sees one socket of as many cores; other topologies "
        "are accepted if their product is cpus.",
        _smp,
        Key("cpus", _CPU_COUNT, "How many.", required=True),
        Key("maxcpus", _CPU_COUNT, "The same as cpus: none can be added later."),
        Key("sockets", _CPU_COUNT, "Part of the topology."),
        Key("dies", _CPU_COUNT, "Part of the topology."),
        Key("clusters", _CPU_COUNT, "Part of the topology."),
        Key("cores", _CPU_COUNT, "Part of the topology."),
        Key("threads", _CPU_COUNT, "Part of the topology."),
        first_key="cpus",
    ),
    Option(
        "-m",
        "Sets the size of the guest's memory (default 256 MiB).",
        _memory,
        Key("size", Size(_MEMORY_MIN_BYTES, _MEMORY_MAX_BYTES, _PAGE_BYTES), "How much.", required=True),
        first_key="size",
    ),
    Option(
        "-kernel",
        "Boots this kernel: a bzImage, an ELF file (entered as PVH where it has the note), or a flat image, "
        "loaded at 16 MiB. Must be given.",
        _kernel,
        value=Path(),
    ),
    Option("-initrd", "Gives the kernel this file as its initial RAM disk.", _initrd, value=Path()),
    Option(
        "-append",
        "Sets the kernel's command line: all words up to the next option, quoted or not. The serial port is "
        "console=ttyS0.",
        _append,
        value=Text("WORD...", 0, _APPEND_MAX_CHARACTERS),
        takes_words=True,
    ),
    Option(
        "-rtc",
        "Sets the real-time clock.",
        _rtc,
        Key("base", Choice("utc", "localtime"), "Whether it shows UTC (default) or the host's local time."),
        Key("clock", Choice("host", "rt", "vm"), "No effect: it follows the host's clock."),
        Key("driftfix", Choice("none", "slew"), "No effect: it raises no interrupts that could be lost."),
        first_key="base",
    ),
    Option("-S", "Starts with the CPUs stopped, until QMP's cont.", _start_stopped),
    Option("-no-reboot", "Ends the VM when the guest resets itself.", _no_reboot),
    Option("-no-shutdown", "Keeps the process when the guest powers itself off.", _no_shutdown),
)
