"""A command that a signal is to end cleans up first, and then ends by that signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


class EndedBySignal(BaseException):
    """Raised where the main thread is when the signal comes; whoever catches it passes it on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextmanager
def ended_by_signal(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """While it lasts, each of these signals raises EndedBySignal, and the process ends by it afterwards.

    The first one counts: others come in vain, so that nothing breaks the cleaning up. A signal that is
    ignored already stays so (SIGHUP, under nohup).
    """
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise EndedBySignal(number)

    before = {number: signal.signal(number, end) for number in caught}
    try:
        yield
    except EndedBySignal as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        raise  # unless it is blocked, nobody comes here
    for number, handler in before.items():
        signal.signal(number, handler)
