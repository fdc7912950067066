"""Where a start must be lean, msgpack's C half alone is loaded, and does what the whole package does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cffi
import msgpack

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = os.path.dirname(os.path.dirname(msgpack.__file__))
PREAMBLE = (
    f"import sys; sys.path += {[str(CHECKOUT), PACKAGES, os.path.dirname(os.path.dirname(cffi.__file__))]}\n"
)

ROUND_TRIP = """
from ipc.channel import decode, Channel
from ipc.messages import Message
from ipc.schema import Integer, Bytes, ListOf, Record, SchemaError, Text
import _socket
numbers = ListOf(Integer(0, 9), 9)
words = {"DATA": Record({"n": Integer(-5, 1 << 63), "b": Bytes(9), "t": Text(9), "l": numbers})}
a, b = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
a, b = (Channel(end.detach(), "it", words) for end in (a, b))
fields = {"n": 1 << 62, "b": bytes(3), "t": "\\xe4", "l": [1, 2]}
a.send(Message("DATA", fields, 7))
got = b.receive()
assert (got.name, got.request_id, got.fields) == ("DATA", 7, fields)
refused = 0
for bad in (
    "", "c1", "91" * 5000, "83a16da1ffa16900a16680", "dfffffffff",  # cut short, too deep, no UTF-8, too large
    "c700ff", "c70001", "d40178", "d6ff00000000", "810102",  # extensions; a key that isn't text
):
    try:
        decode(bytes.fromhex(bad), words)
    except SchemaError:
        refused += 1
heavy = ("msgpack", "datetime", "collections")
print(refused, *sorted(name for name in sys.modules if name.split(".")[0] in heavy))
"""


def run(code: str, *options: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-I", *options, "-c", PREAMBLE + code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_lean_start_has_the_c_half_alone() -> None:
    assert run(ROUND_TRIP, "-S", "-E") == "10 msgpack._cmsgpack msgpack.exceptions"


def test_any_other_start_has_the_whole_package() -> None:
    count, *modules = run(ROUND_TRIP).split()
    assert count == "10"
    assert {"msgpack", "msgpack.ext", "datetime"} <= set(modules)


def test_what_was_lent_is_given_back() -> None:
    code = """
import ipc.packing, datetime, msgpack
assert datetime.__file__ and datetime.datetime(2000, 1, 1).isoformat() == "2000-01-01T00:00:00"
print(msgpack.unpackb(msgpack.packb({"a": [1, b"x"]})))
"""
    assert run(code, "-S", "-E") == "{'a': [1, b'x']}"


def test_a_package_without_its_c_half_is_taken_as_it_is(tmp_path: Path) -> None:
    package = tmp_path / "msgpack"
    package.mkdir()
    for name in ("__init__.py", "ext.py", "exceptions.py", "fallback.py"):
        (package / name).write_bytes((Path(msgpack.__file__).parent / name).read_bytes())
    code = f"sys.path.insert(0, {str(tmp_path)!r})\nimport msgpack.fallback" + ROUND_TRIP
    assert "msgpack.fallback" in run(code.replace("import msgpack.fallback", ""), "-S", "-E")
