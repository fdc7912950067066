"""The command line of bulkhead-audit, and its exit status."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from .audit import AuditError, audit
from .output import OutputError, printable, say, write
from .qmp_address import socket_path
from .qmp_client import QmpClient, QmpError, UnknownCommandError
from .report import AS_ENTITLED, DIFFERS, INCOMPLETE, as_json, error_as_json, result_of, table

STATUS_AS_ENTITLED = 0
STATUS_DIFFERS = 1
STATUS_NOT_AUDITED = 2
_STATUS = {AS_ENTITLED: STATUS_AS_ENTITLED, DIFFERS: STATUS_DIFFERS, INCOMPLETE: STATUS_NOT_AUDITED}
_TIMEOUT_S = 10.0

_DESCRIPTION = """Compare what each process of a running VM can reach (open files, system calls, namespaces,
mounts, user, capabilities, Landlock, shared memory, page tables) with what it is entitled to. The VM's main
process is asked over QMP what its processes are and what they were given; what they have is read in /proc.
Run it as root, where the VM runs: only root may look into a device's process."""

_EPILOG = """Exit status: 0 every process has what it is entitled to and no more; 1 one has more, and the
lines with DIFFERENCE say what; 2 the VM couldn't be asked, or something couldn't be read. A QMP socket takes
several clients at a time; a QMP on another chardev takes one, so give the VM a further -qmp for the audit."""


class _Parser(argparse.ArgumentParser):
    """Writes as the audit does: where an output takes nothing, the status isn't that of a difference."""

    def print_help(self, file: object = None) -> None:  # noqa: ARG002 (--help names none)
        """To standard output."""
        try:
            write(self.format_help().rstrip("\n"))
        except OutputError as error:
            say(f"{self.prog}: {error}")
            sys.exit(STATUS_NOT_AUDITED)

    def error(self, message: str) -> NoReturn:
        """A command line that isn't understood."""
        say(f"{self.format_usage()}{self.prog}: error: {message}")
        sys.exit(STATUS_NOT_AUDITED)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = _Parser(prog="bulkhead-audit", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument(
        "--qmp",
        required=True,
        type=_socket,
        metavar="SOCKET",
        help="the VM's QMP socket: its path, or unix:PATH,... as the VM's own -qmp has it",
    )
    made.add_argument("--json", action="store_true", help="write JSON instead of a table")
    made.add_argument("--quiet", action="store_true", help="in the table, leave out what is as allowed")
    made.add_argument(
        "--filters",
        action="store_true",
        help="read the filters that threads have installed and compare every instruction; as root, and each "
        "thread stands still for a moment",
    )
    made.add_argument(
        "--unprivileged",
        action="store_true",
        help="for who isn't root: take a process's word, its birth certificate, for what can't be read, and "
        "let what isn't in there go unread",
    )
    made.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT_S,
        metavar="S",
        help="how long an answer may take, and processes to settle (%(default)g s); the whole audit takes at "
        "most twice as long",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Audits and returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return _audit(options)
    except UnknownCommandError as error:
        reason = f"{error}; audit this VM with the bulkhead-audit of its own version"
    except (AuditError, QmpError) as error:
        reason = str(error)
    except OutputError as error:
        say(f"bulkhead-audit: {error}")
        return STATUS_NOT_AUDITED
    except KeyboardInterrupt:
        reason = "interrupted"
    except Exception as error:  # noqa: BLE001 (Python's own status would say that something differs)
        say(traceback.format_exc())
        reason = f"an error inside it: {type(error).__name__}"
    return _give_up(printable(reason), as_json=options.json)


def _give_up(reason: str, *, as_json: bool) -> int:
    """Says why there is no audit: to people, and to a script that waits for JSON."""
    say(f"bulkhead-audit: {reason}")
    if as_json:
        try:
            write(json.dumps(error_as_json(reason), indent=2))
        except OutputError as error:
            say(f"bulkhead-audit: {error}")
    return STATUS_NOT_AUDITED


def _audit(options: argparse.Namespace) -> int:
    client = QmpClient(options.qmp, options.timeout)
    try:
        audited = audit(client, patience_s=options.timeout, compare_filters=options.filters)
    finally:
        client.close()
    result = result_of(audited, unprivileged=options.unprivileged)
    if options.json:
        write(json.dumps(as_json(audited, result), indent=2))
    else:
        write("\n".join(map(printable, table(audited, everything=not options.quiet))))
    return _STATUS[result]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: allowed is more than 0 and at most 3600 seconds")
    return seconds


def _socket(text: str) -> str:
    try:
        return socket_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
