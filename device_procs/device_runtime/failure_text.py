"""An exception in words, without the traceback module: the jail has no source files that it could quote."""

from __future__ import annotations

_LONGEST = 1000  # of the message FAILED
_FRAMES = 4


def failure_text(error: BaseException) -> str:
    """What happened and where: "ValueError: text (at device.py:12 in f, called at main.py:3 in g)"."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    text = type(error).__name__
    if str(error):
        text += f": {error}"
    if places:
        where = f" (at {', called at '.join(reversed(places[-_FRAMES:]))})"
        text = text[: _LONGEST - len(where)] + where
    return text[:_LONGEST]
