"""The options about the process: log, going to the background, filters, and what it only prints."""

from __future__ import annotations

from vmm_main.command_line.option_table import Option, OptionTable
from vmm_main.command_line.value_types import Integer, Path

_HIGHEST_UID = (1 << 32) - 1 - 64  # with room for the devices; -1 is no uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.vm_config import VmConfig


def _log_file(config: VmConfig, path: str | None) -> None:
    config.log_path = path
    config.log_to_stderr = path is None


def _pidfile(config: VmConfig, path: str) -> None:
    config.pidfile_path = path


def _uid_base(config: VmConfig, uid: int) -> None:
    config.uid_base = uid


def _daemonize(config: VmConfig, _given: bool) -> None:
    config.daemonize = True


def _disable_seccomp(config: VmConfig, _given: bool) -> None:
    config.seccomp_enabled = False
    config.warnings.append("-disable-seccomp: processes run without their system call filters")


def _help(config: VmConfig, _given: bool) -> None:
    config.only_print = "help"


def _version(config: VmConfig, _given: bool) -> None:
    config.only_print = "version"


TABLE = OptionTable(
    "The process",
    Option(
        "-D",
        "Writes the log, from level INFO on, to this file (it is appended to), or without a name to standard "
        "error. Without -D, warnings and errors go to standard error. The file stays when the VM has ended, "
        "also after a start that failed, whose error is in it too.",
        _log_file,
        value=Path(),
        optional_value=True,
    ),
    Option(
        "-daemonize",
        "Goes to the background. The command returns once QMP answers, with status 0; an error before that "
        "comes out on its standard error, with status 1.",
        _daemonize,
    ),
    Option(
        "-pidfile",
        "Writes the process id to this file, which must not exist, and removes it at the end. Only with "
        "-daemonize.",
        _pidfile,
        value=Path(),
    ),
    Option(
        "-uid-base",
        "Runs device processes as this uid and the ones that follow it, one each (only as root). Without it, "
        "a block of uids is leased that no other VM here has.",
        _uid_base,
        value=Integer(1, _HIGHEST_UID),
    ),
    Option(
        "-disable-seccomp",
        "Takes the system call filters away from all processes of the VM; the log warns of it.",
        _disable_seccomp,
    ),
    Option("-help", "Prints this and ends.", _help, aliases=("-h", "--help")),
    Option("-version", "Prints version and git commit, and ends.", _version, aliases=("--version",)),
)
