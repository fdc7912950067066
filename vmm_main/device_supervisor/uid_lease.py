"""The host uids of a VM's device processes: a block that no other VM has, or the user's own.

Blocks are byte ranges of one file, locked by an open file description: uid N is byte N. The kernel lets go of
them when the process dies, however it dies, and nothing is left behind.
"""

from __future__ import annotations

import posix as os

from ipc.owned_fd import OwnedFd
from vmm_main.errors import ConfigurationError, HostError

LOCK_FILE = "/run/bulkhead/uids.lock"
UIDS_PER_VM = 64
# Between what systemd gives to containers and the end of signed numbers, where nobody else gives uids out
# (systemd's UIDS-GIDS.md calls it unused).
FIRST_UID = 0x7000_0000
BLOCKS = 1 << 16

_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 1 << 6, 1 << 7, 1 << 21
_NEEDED = _CAP_SETGID | _CAP_SETUID | _CAP_SYS_ADMIN
# <linux/fcntl.h>, for fcntl(): the lock belongs to the open file, so that -daemonize's fork keeps it.
_F_OFD_SETLK = 37
_F_WRLCK = 1


class UidLease:
    """The uids (and gids, which are the same numbers) of one VM's devices.

    Attributes:
        own_uids: Whether every device has one of its own. Otherwise all have the user's uid and gid.
    """

    __slots__ = ("_first", "_lock", "own_uids")

    def __init__(self, base: int | None, devices: int, lock_file: str = LOCK_FILE) -> None:
        """Takes a block of uids, or the user's own if there is no privilege to have others.

        Args:
            base: -uid-base: the block's first uid; None for the first free block.
            devices: How many uids are surely needed.
            lock_file: Where blocks are locked.

        Raises:
            ConfigurationError: The block isn't free, isn't mapped here, or there is no privilege for it.
            HostError: The lock file can't be used, or there is no block left.
        """
        self.own_uids = may_give_uids(base)
        self._first = 0
        self._lock: OwnedFd | None = None
        if not self.own_uids:
            if base is not None:
                raise ConfigurationError(
                    f"-uid-base {base}: devices get uids of their own only from a Bulkhead that has the "
                    "capabilities SETUID, SETGID and SYS_ADMIN; without them they have yours"
                )
            return
        if devices > UIDS_PER_VM:
            raise HostError(f"a VM has {UIDS_PER_VM} uids for its devices, not {devices}")
        self._lock = OwnedFd(_open(lock_file))
        try:
            self._first = _lock_block(self._lock, base)
        except BaseException:
            self._lock.close()
            raise

    def uid_for(self, device: int) -> int:
        """The uid of a VM's device number `device`, counted from 0.

        Raises:
            HostError: The block has no further uid.
        """
        return self._first + self._place(device) if self.own_uids else os.geteuid()

    def gid_for(self, device: int) -> int:
        """The gid of a VM's device number `device`, counted from 0.

        Raises:
            HostError: The block has no further gid.
        """
        return self._first + self._place(device) if self.own_uids else os.getegid()

    @property
    def lock_fds(self) -> list[int]:
        """What holds the lock, if there is one."""
        return [] if self._lock is None or not self._lock.is_open else [self._lock.fd]

    def close(self) -> None:
        """Gives the block back; no process may have one of its uids any more."""
        if self._lock is not None:
            self._lock.close()

    @staticmethod
    def _place(device: int) -> int:
        if not 0 <= device < UIDS_PER_VM:
            raise HostError(f"a VM has {UIDS_PER_VM} uids for its devices: none is left for number {device}")
        return device


def _lock_block(lock: OwnedFd, base: int | None) -> int:
    if base is not None:
        if not _are_mapped(base):
            raise ConfigurationError(
                f"-uid-base {base}: the uids {base} to {base + UIDS_PER_VM - 1} don't exist here "
                "(see /proc/self/uid_map)"
            )
        if not _try_lock(lock, base):
            raise ConfigurationError(
                f"-uid-base {base}: another VM has some of the uids {base} to {base + UIDS_PER_VM - 1}"
            )
        return base
    # Pids differ among those who look: nearly always the first is free.
    begin = os.getpid() % BLOCKS
    for step in range(BLOCKS):
        first: int = FIRST_UID + (begin + step) % BLOCKS * UIDS_PER_VM
        if _try_lock(lock, first):
            return first
    raise HostError(f"{BLOCKS} VMs have all the uids there are for devices")


def may_give_uids(base: int | None = None) -> bool:
    """Whether this process may give other processes uids of their own, and an empty network to share.

    Root in a user namespace that has few uids (a rootless container) may not, unless it says which.
    """
    if base is None and not _are_mapped(FIRST_UID):
        return False
    with open("/proc/self/status", "rb", buffering=0) as status:
        text = status.read(8192)
    effective = int(text.partition(b"CapEff:")[2].split(None, 1)[0], 16)
    return bool(effective & _NEEDED == _NEEDED)


def _are_mapped(first: int) -> bool:
    """Whether a block of uids is there: in a user namespace, only some are."""
    with open("/proc/self/uid_map", "rb", buffering=0) as uid_map:
        lines = uid_map.read().splitlines()
    for line in lines:
        start, _, count = map(int, line.split())
        if start <= first and first + UIDS_PER_VM <= start + count:
            return True
    return False


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            from os import makedirs

            makedirs(path.rpartition("/")[0], mode=0o755, exist_ok=True)
            return os.open(path, flags, 0o600)
    except OSError as error:
        raise HostError(f"{path}: can't be opened for the devices' uids: {error.strerror}") from error


def _try_lock(lock: OwnedFd, first: int) -> bool:
    import fcntl

    # struct flock: type, whence, start, length, pid
    request = (
        _F_WRLCK.to_bytes(8, "little")
        + first.to_bytes(8, "little")
        + UIDS_PER_VM.to_bytes(8, "little")
        + bytes(8)
    )
    try:
        fcntl.fcntl(lock.fd, _F_OFD_SETLK, request)
    except BlockingIOError:
        return False
    return True
