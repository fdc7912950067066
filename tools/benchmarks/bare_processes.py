"""What the processes of a VM with devices hold without Bulkhead's code: a peer for tools/bench first-byte.

python -I -S -E bare_processes.py COUNT is a main and an exec'd zygote, with the extension modules that
they have, and COUNT forks of the zygote, each of which has answered one message. There is no jail and no VM.
"""

from __future__ import annotations

import posix
import sys

_FIRST_BYTE = b"\xf5"  # first_byte_guest.py's, which would bring what isn't measured here
_PACKET_BYTES = 4096
_CHECKOUT = __file__.rsplit("/", 3)[0]
_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def _be_main(count: int) -> None:
    import _socket

    import vmm_main.kvm._kvm  # noqa: F401 - for what it holds
    from ipc.packing import Packer, unpackb  # msgpack's C half, without the rest of its package

    pairs = [_socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET) for _ in range(count)]
    devices_ends = [theirs.fileno() for _, theirs in pairs]
    for fd in devices_ends:
        posix.set_inheritable(fd, True)
    words = [sys.executable, "-I", "-S", "-E", __file__, "zygote", *map(str, devices_ends)]
    posix.posix_spawn(sys.executable, words, {"LC_ALL": "C"})
    pack = Packer().pack
    for ours, theirs in pairs:
        theirs.close()
        ours.send(pack({"m": "CONFIGURE", "i": 1, "f": {"queues": 1}}))
        unpackb(ours.recv(_PACKET_BYTES))
    posix.write(1, _FIRST_BYTE)
    posix.read(0, 1)


def _be_zygote(devices_ends: list[int]) -> None:
    import _socket
    import gc

    import device_procs.data_plane._data_plane  # noqa: F401 - for what it holds
    from ipc.packing import Packer, unpackb

    gc.disable()
    pack = Packer().pack
    for fd in devices_ends:
        if posix.fork() == 0:
            control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
            while packet := control.recv(_PACKET_BYTES):
                control.send(pack({"m": "READY", "i": unpackb(packet)["i"], "f": {}}))
            posix._exit(0)
    posix.wait()


if __name__ == "__main__":
    sys.path += [_CHECKOUT, f"{sys.executable.rsplit('/', 2)[0]}/{_PACKAGES}"]
    if sys.argv[1] == "zygote":
        _be_zygote([int(fd) for fd in sys.argv[2:]])
    else:
        _be_main(int(sys.argv[1]))
