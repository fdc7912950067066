"""A second thread of the driver's: it changes a field in guest memory under the device's eyes."""

from __future__ import annotations

import threading
from types import TracebackType

from tools.fake_driver.extension import ffi, lib
from tools.fake_driver.guest_ram import GuestRam


class RacingWriter:
    """Stores values in a field in turn, without the GIL, until the end of a `with`."""

    def __init__(self, ram: GuestRam, gpa: int, width: int, values: tuple[int, ...]) -> None:
        """Takes a field of width bytes, which must be aligned to that.

        Raises:
            ValueError: There are more values than it can take, or the field isn't aligned.
        """
        if len(values) > lib.RACING_VALUES_MAX or gpa % width != 0:
            raise ValueError(f"{len(values)} values for {width} bytes at {gpa:#x}")
        self._c = ffi.new("struct racing_writer *")
        self._c.field = ffi.cast("uint8_t *", ram.address_of_gpa_zero() + gpa)
        self._c.width = width
        self._c.count = len(values)
        self._c.values = values
        self._thread = threading.Thread(target=lib.racing_writer_run, args=(self._c,))

    def __enter__(self) -> RacingWriter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._c.quit = 1
        self._thread.join()
