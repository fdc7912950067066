"""The zygote's life: get ready, jail itself, and make a device process for every MAKE_DEVICE."""

from __future__ import annotations

import errno
import posix as os
import select

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_registry import KINDS
from device_procs.device_runtime.control_thread import prepare, warm_up
from device_procs.sandbox.birth import live
from device_procs.zygote.refused_namespaces import why_refused
from ipc.channel import Channel, MalformedError, PeerGoneError
from ipc.messages import Message
from ipc.zygote_messages import MAKE_DEVICE_DESCRIPTORS, TO_ZYGOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal  # the same without enum, which costs milliseconds at every start

_GIVEN_UP = 1


class ZygoteError(Exception):
    """It can't serve; the text says why. stage is what it was doing."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


class Zygote:
    """One zygote. Single-threaded: a clone copies one thread only."""

    __slots__ = ("_channel", "_host_ids", "_poll", "_privileged")

    def __init__(self, socket_fd: int, *, privileged: bool) -> None:
        """Takes over the socket.

        Args:
            socket_fd: Where requests come from.
            privileged: Whether this VM's devices get uids of their own: main has the capabilities for it.
                Otherwise there is one uid, the user's.
        """
        self._channel = Channel(socket_fd, "main", TO_ZYGOTE, takes_descriptors=True)
        self._privileged = privileged
        self._host_ids = (os.geteuid(), os.getegid())
        self._poll = select.poll()
        self._poll.register(socket_fd, select.POLLIN)

    def run(self, main_pid: int, *, seccomp: bool) -> int:
        """Jails this process and serves until main closes the socket; returns the exit status."""
        try:
            self._serve(main_pid, seccomp=seccomp)
        except PeerGoneError:
            return 0
        except ZygoteError as error:
            self._give_up(error)
        except MalformedError as error:
            self._give_up(ZygoteError("request", str(error)))
        return _GIVEN_UP

    def _serve(self, main_pid: int, *, seccomp: bool) -> NoReturn:
        self._enter_jail(main_pid, seccomp=seccomp)
        while True:
            self._poll.poll()
            for answer in self._answers(self._requests()):
                self._channel.send(answer)

    def _requests(self) -> list[Message]:
        """All that have come."""
        requests = []
        while (request := self._channel.receive()) is not None:
            requests.append(request)
        return requests

    def _give_up(self, error: ZygoteError) -> None:
        """Says why, and waits for main's end of the socket: one at once could come first."""
        try:
            self._channel.send(_failed(error, 0))
            while True:
                self._poll.poll()
                try:
                    self._channel.receive()
                except MalformedError:
                    continue  # no more answers
        except PeerGoneError:
            return

    def _enter_jail(self, main_pid: int, *, seccomp: bool) -> None:
        _check("name", lib.process_set_name(b"zygote"))
        # Python would raise KeyboardInterrupt in whatever runs, here and in every device process.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        error = lib.zygote_enter_net_namespace(self._privileged)
        if error < 0:
            raise _namespace_error("net namespace", -error)
        if not self._privileged:
            self._map_own_ids()
        _check("privileges", lib.zygote_drop_privileges())
        # After the last change of credentials, which clears it.
        _check("parent death signal", lib.zygote_die_with_main(main_pid))
        if seccomp:
            _check("seccomp filter", lib.filters_install(b"zygote"))

    def _map_own_ids(self) -> None:
        uid, gid = self._host_ids
        error = lib.zygote_map_own_ids(uid, gid)
        if error == -errno.EPERM and uid == 0:
            stage, why = "uid and gid maps", os.strerror(-error)
            raise ZygoteError(stage, f"{stage}: {why}: as root, mapping uid 0 takes the capability SETFCAP")
        _check("uid and gid maps", error)

    def _answers(self, requests: list[Message]) -> list[Message]:
        """Makes a process for each request, and says what came of it.

        One clone right after the other: whatever is written between two of them is copied, page by page,
        since the processes share it.
        """
        births: list[ffi.CData] = []  # None where there is an error
        errors: list[ZygoteError | None] = []
        for request in requests:
            error = self._refusal(request)
            errors.append(error)
            births.append(self._birth_for(request) if error is None else None)
        for number, birth in enumerate(births):
            if birth is not None:
                errors[number] = self._make_device(requests[number], birth)
        answers = []
        for request, birth, error in zip(requests, births, errors, strict=True):
            for fd in request.descriptors:
                os.close(fd)
            if error is not None:
                answers.append(_failed(error, request.request_id))
            else:
                answers.append(Message("MADE_DEVICE", {"pid": birth.pid}, request.request_id))
        return answers

    def _refusal(self, request: Message) -> ZygoteError | None:
        fields = request.fields
        if len(request.descriptors) != len(MAKE_DEVICE_DESCRIPTORS):
            return ZygoteError("request", f"needs descriptors: {', '.join(MAKE_DEVICE_DESCRIPTORS)}")
        if fields["kind"] not in KINDS:
            return ZygoteError("request", f"no kind of device is called {fields['kind']!a}")
        uid, gid = fields["host_uid"], fields["host_gid"]
        if not self._privileged and (uid, gid) != self._host_ids:
            return ZygoteError("request", f"uid {uid}, gid {gid}: unprivileged, there is only one's own")
        return None

    def _birth_for(self, request: Message) -> ffi.CData:
        """A struct device_birth with all that is asked for."""
        fields, limits = request.fields, request.fields["limits"]
        birth = ffi.new("struct device_birth *")
        birth.host_uid, birth.host_gid = fields["host_uid"], fields["host_gid"]
        if not self._privileged:
            birth.host_uid = birth.host_gid = lib.ZYGOTE_OWN_ID
        jail = birth.jail
        jail.name = fields["name"].encode()
        jail.control_fd, jail.black_box_fd = request.descriptors
        jail.keeps_groups = not self._privileged
        jail.seccomp = fields["seccomp"]
        jail.limit_nofile, jail.limit_fsize, jail.limit_data = (
            limits["nofile"],
            limits["fsize"],
            limits["data"],
        )
        return birth

    def _make_device(self, request: Message, birth: ffi.CData) -> ZygoteError | None:
        """Makes one process, or returns what is in the way."""
        pid = lib.device_clone(birth)
        if pid == 0:
            # The zygote's own descriptors are closed with all others that aren't named.
            live(request.fields["kind"], ffi.addressof(birth, "jail"))
        if pid < 0:
            return _namespace_error("clone", -pid)
        error = lib.device_map_ids(birth)
        if error < 0:
            return ZygoteError("uid and gid maps", f"uid and gid maps: {os.strerror(-error)}")
        return None


def import_back_ends() -> None:
    """Imports all that a device process may need: it has no file system to import from later.

    Here there is time for what each device process would do again.
    """
    for kind in KINDS:
        prepare(kind)
    warm_up()
    # cffi makes functions and types when they are first used: once here, not in each device process.
    for name in dir(lib):
        getattr(lib, name)
    for name in ffi.list_types()[1]:
        ffi.new(f"struct {name} *")


def _failed(error: ZygoteError, request_id: int) -> Message:
    return Message("FAILED", {"stage": error.stage, "reason": str(error)[:1000]}, request_id)


def _check(stage: str, error: int) -> None:
    if error < 0:
        raise ZygoteError(stage, f"{stage}: {os.strerror(-error)}")


def _namespace_error(stage: str, error_number: int) -> ZygoteError:
    if error_number in (errno.EPERM, errno.ENOSPC, errno.EUSERS, errno.EACCES):
        return ZygoteError(stage, f"{stage}: {why_refused(error_number)}")
    return ZygoteError(stage, f"{stage}: {os.strerror(error_number)}")
