"""Messages as bytes: one JSON object a line on the way out, strict JSON on the way in."""

from __future__ import annotations

import json
import math

from vmm_main.qmp.qmp_error import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_DIGITS_MAX = 1000


def encode_line(message: dict[str, Any]) -> bytes:
    """Returns message as one line of ASCII, ended as QEMU ends its lines."""
    return json.dumps(message, allow_nan=False).encode("ascii") + b"\r\n"


def decode_request(message: bytes) -> dict[str, Any]:
    """Returns the request in a message.

    Raises:
        QmpError: it is no JSON object.
    """
    try:
        request = json.loads(
            message.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_not_json,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise QmpError(f"JSON parse error, invalid UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise QmpError(f"JSON parse error, {error.msg} at character {error.pos}") from error
    except ValueError as error:
        raise QmpError(f"JSON parse error, {error}") from error
    if not isinstance(request, dict):
        raise QmpError("QMP input must be a JSON object")
    return request


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(members)
    if len(result) != len(members):
        raise ValueError("duplicate key")
    return result


def _not_json(text: str) -> float:
    raise ValueError(f"stray '{text}'")


def _integer(text: str) -> int:
    # Far beyond what any argument takes; converting takes time that grows with the square.
    digits = len(text.lstrip("-"))
    if digits > _DIGITS_MAX:
        raise ValueError(f"a number of {digits} digits; allowed are {_DIGITS_MAX}")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number out of range: {text[:20]}")
    return number
