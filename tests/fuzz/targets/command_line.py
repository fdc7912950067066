"""The command line: any words are a configuration, or refused in one printable line."""

from __future__ import annotations

from collections.abc import Iterator

from vmm_main.command_line.known_options import NAMES
from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import VmConfig

# No argument of a program holds a zero byte: here it stands between two.
_BETWEEN = b"\0"

_LINES = (
    "-machine microvm -smp 4 -m 512 -kernel /k -initrd /i -append console=ttyS0 quiet -serial stdio",
    "-name vm,debug-threads=on -uuid 6e5a4e4c-65e4-4f52-9e9a-0d24f3a5b6f6 -M MicroVm,accel=kvm,usb=off",
    "-qmp unix:/tmp/q,server,nowait -chardev socket,id=c,path=/s,server,nowait -mon chardev=c,mode=control",
    "-chardev pty,id=p -chardev stdio,id=s -chardev file,id=f,path=/tmp/log -serial chardev:p -S",
    "-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-device,rng=r,max-bytes=9,period=1000",
    "-drive id=d,file=/disk,,with,readonly=on,direct=off -device virtio-blk-device,drive=d,id=b,serial=s",
    '-device {"driver":"virtio-blk-device","drive":"d","id":"b","num-queues":2} -drive id=d,file=/x',
    "-add-fd fd=3,set=1,opaque=x -kernel /dev/fdset/1 -D /log -pidfile /p -daemonize -uid-base 100000",
    "-no-reboot -no-shutdown -disable-seccomp -nodefaults -nographic -overcommit mem-lock=off",
    "-smp cpus=8,maxcpus=8,sockets=1,cores=8,threads=1 -m size=1G,slots=0,maxmem=1G -rtc base=utc",
    "-m 64T -smp 999 -m 1.5G -h --version -vresion",
)


def run(data: bytes) -> None:
    """Parses what the input's words ask for."""
    words = [word.decode("utf-8", "surrogateescape") for word in data.split(_BETWEEN)]
    try:
        config = parse(words)
    except ConfigurationError as error:
        text = str(error)
        assert text, "a refusal without words"
        assert text.isprintable(), ascii(text)
        text.encode("utf-8", "backslashreplace")
        return
    assert isinstance(config, VmConfig)


def dictionary() -> Iterator[bytes]:
    """Options, and the keys and values of lists."""
    for names in NAMES.values():
        yield from (name.encode() for name in names.split())
    for line in _LINES:
        for word in line.split():
            yield from (piece.encode() for piece in word.replace("=", ",").split(",") if piece)
    yield from (b"\0", b",,", b"=", b"on-death=needs-reset", b"on-restart-limit=stop", b"{", b'":', b"unix:")


def seeds() -> Iterator[bytes]:
    """Lines as users and controllers write them."""
    for line in _LINES:
        yield line.replace(" ", "\0").encode()
