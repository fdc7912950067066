"""The real-time clock: an MC146818A with a PC's 128 bytes of CMOS RAM.

Registers: Motorola MC146818A data sheet; register 0x32, the century, is where PCs have it. The clock follows
the host's, plus what the guest has set it to. It raises no interrupts: its GSI isn't given to the guest.
"""

from __future__ import annotations

import time

_INDEX, _DATA = 0, 1
_INDEX_MASK = 0x7F  # bit 7 of a PC's index port masks NMIs

_SECONDS, _MINUTES, _HOURS = 0x00, 0x02, 0x04
_DAY_OF_WEEK, _DAY, _MONTH, _YEAR, _CENTURY = 0x06, 0x07, 0x08, 0x09, 0x32
_REGISTER_A, _REGISTER_B, _REGISTER_C, _REGISTER_D = 0x0A, 0x0B, 0x0C, 0x0D
_TIME_REGISTERS = (_SECONDS, _MINUTES, _HOURS, _DAY_OF_WEEK, _DAY, _MONTH, _YEAR, _CENTURY)

_A_UPDATE_IN_PROGRESS = 1 << 7
_A_TIME_BASE = 0x26  # 32 kHz crystal, 1024 Hz periodic rate: what PC firmware leaves behind
_B_SET = 1 << 7
_B_BINARY = 1 << 2
_B_24_HOURS = 1 << 1
_D_VALID = 1 << 7
_HOURS_PM = 1 << 7

# The chip says 244 microseconds ahead that an update comes; whoever reads then waits for it.
_UPDATE_WARNING_S = 0.000244
_RAM_BYTES = 128


class Rtc:
    """Index and data port. Called on vCPU threads; the interpreter's lock makes each access whole."""

    __slots__ = ("_base_is_utc", "_index", "_offset_s", "_ram", "_set_at_s")

    def __init__(self, *, base_is_utc: bool) -> None:
        """base_is_utc: whether the guest sees UTC or the host's local time (-rtc base=)."""
        self._base_is_utc = base_is_utc
        self._index = 0
        self._offset_s = 0  # the guest's setting of the clock, against the host's
        self._ram = bytearray(_RAM_BYTES)
        self._ram[_REGISTER_A] = _A_TIME_BASE
        self._ram[_REGISTER_B] = _B_24_HOURS
        # While register B's SET bit stops the updates, the time registers are plain RAM.
        self._set_at_s: float | None = None

    def read(self, offset: int, _size: int) -> int:
        """The index port reads as all ones, as on a PC; the data port by its index."""
        return 0xFF if offset == _INDEX else self._read_register(self._index)

    def write(self, offset: int, _size: int, value: int) -> None:
        """Selects a register, or writes the selected one."""
        if offset == _INDEX:
            self._index = value & _INDEX_MASK
        elif offset == _DATA:
            self._write_register(self._index, value & 0xFF)

    def _read_register(self, index: int) -> int:
        if index in _TIME_REGISTERS and self._set_at_s is None:
            self._latch_time()
        elif index == _REGISTER_A:
            updating = self._set_at_s is None and time.time() % 1 > 1 - _UPDATE_WARNING_S
            return self._ram[index] | (_A_UPDATE_IN_PROGRESS if updating else 0)
        elif index == _REGISTER_C:
            return 0  # no interrupt is ever pending
        elif index == _REGISTER_D:
            return _D_VALID
        return self._ram[index]

    def _write_register(self, index: int, value: int) -> None:
        if index == _REGISTER_A:
            self._ram[index] = value & ~_A_UPDATE_IN_PROGRESS
        elif index == _REGISTER_B:
            self._write_register_b(value)
        elif index in (_REGISTER_C, _REGISTER_D):
            return
        elif index in _TIME_REGISTERS and self._set_at_s is None:
            # A register written while the clock runs: the others go on from where they are.
            self._latch_time()
            self._ram[index] = value
            self._take_time(time.time())
        else:
            self._ram[index] = value

    def _write_register_b(self, value: int) -> None:
        if value & _B_SET and self._set_at_s is None:
            self._latch_time()
            self._set_at_s = time.time()
        self._ram[_REGISTER_B] = value
        if not value & _B_SET and self._set_at_s is not None:
            self._set_at_s = None
            self._take_time(time.time())

    def _clock_s(self, host_s: float) -> int:
        """The guest's wall clock as seconds since 1970, counted as if it were UTC."""
        base = int(host_s) if self._base_is_utc else int(host_s) + time.localtime(host_s).tm_gmtoff
        return base + self._offset_s

    def _latch_time(self) -> None:
        """Puts the clock's time into the time registers."""
        try:
            now = time.gmtime(self._clock_s(time.time()))
        except (OverflowError, ValueError):  # the guest has set the clock beyond what the host can count
            self._offset_s = 0
            now = time.gmtime(self._clock_s(time.time()))
        register_b = self._ram[_REGISTER_B]
        hours = now.tm_hour
        pm = 0
        if not register_b & _B_24_HOURS:
            pm = _HOURS_PM if hours >= 12 else 0
            hours = hours % 12 or 12
        values = {
            _SECONDS: now.tm_sec,
            _MINUTES: now.tm_min,
            _HOURS: hours,
            _DAY_OF_WEEK: (now.tm_wday + 1) % 7 + 1,  # Sunday is 1
            _DAY: now.tm_mday,
            _MONTH: now.tm_mon,
            _YEAR: now.tm_year % 100,
            _CENTURY: now.tm_year // 100 % 100,  # the guest may have set it beyond two digits
        }
        for register, value in values.items():
            self._ram[register] = self._encode(value)
        self._ram[_HOURS] |= pm

    def _take_time(self, host_s: float) -> None:
        """Sets the clock to what the time registers say, if that is a time."""
        hours = self._ram[_HOURS]
        pm = 0
        if not self._ram[_REGISTER_B] & _B_24_HOURS:
            pm = 12 if hours & _HOURS_PM else 0
            hours &= ~_HOURS_PM
        hour = self._decode(hours)
        if not self._ram[_REGISTER_B] & _B_24_HOURS:
            hour = hour % 12 + pm
        year = self._decode(self._ram[_CENTURY]) * 100 + self._decode(self._ram[_YEAR])
        seconds = _seconds_since_1970(
            year,
            self._decode(self._ram[_MONTH]),
            self._decode(self._ram[_DAY]),
            hour * 3600 + self._decode(self._ram[_MINUTES]) * 60 + self._decode(self._ram[_SECONDS]),
        )
        self._offset_s += seconds - self._clock_s(host_s)

    def _encode(self, value: int) -> int:
        return value if self._ram[_REGISTER_B] & _B_BINARY else value // 10 << 4 | value % 10

    def _decode(self, value: int) -> int:
        return value if self._ram[_REGISTER_B] & _B_BINARY else (value >> 4) * 10 + (value & 0xF)


def _seconds_since_1970(year: int, month: int, day: int, second_of_day: int) -> int:
    """Days of the Gregorian calendar, in seconds; fields out of range count on, as in mktime()."""
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    # A year that begins in March ends with the leap day.
    shifted = year - 1 if month <= 2 else year
    months = (month + 9) % 12
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (153 * months + 2) // 5 + day - 1
    return (days - 719468) * 86400 + second_of_day
