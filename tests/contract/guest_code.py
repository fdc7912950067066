"""Guests of a few instructions, as flat images: what the tests of the contract boot.

Each writes to COM1 or spins; the program counter begins at 16 MiB in 64-bit mode, RSI at the zero page.
"""

from __future__ import annotations

from vmm_main.machine.address_map import COM1_PORT, SLEEP_CONTROL_PORT, SLEEP_ENABLE, SLEEP_TYPE_S5

_LINE_STATUS_PORT = COM1_PORT + 5
_SLEEP = SLEEP_ENABLE | SLEEP_TYPE_S5 << 2

ZERO_PAGE_BYTES = 4096
COMMAND_LINE_BYTES = 2048


def _mov_dx(port: int) -> bytes:
    return b"\x66\xba" + port.to_bytes(2, "little")


# pause; jmp back to it
SPIN = b"\xf3\x90\xeb\xfc"
# mov dx, port; mov al, S5; out dx, al
POWER_OFF = _mov_dx(SLEEP_CONTROL_PORT) + b"\xb0" + bytes([_SLEEP]) + b"\xee" + SPIN
# wait: mov dx, LSR; in al, dx; test al, THR empty; jz wait; lodsb; mov dx, THR; out dx, al; dec ecx; jnz wait
_SEND_ECX_BYTES_AT_RSI = (
    _mov_dx(_LINE_STATUS_PORT) + b"\xec\xa8\x20\x74\xf7\xac" + _mov_dx(COM1_PORT) + b"\xee\xff\xc9\x75\xed"
)


def _mov_ecx(value: int) -> bytes:
    return b"\xb9" + value.to_bytes(4, "little")


# Writes the zero page, the command line and the initrd (if it has any bytes: jecxz), then powers off.
REPORT = (
    b"\xfc\x48\x89\xf3"  # cld; mov rbx, rsi
    + _mov_ecx(ZERO_PAGE_BYTES)
    + _SEND_ECX_BYTES_AT_RSI
    + b"\x8b\xb3\x28\x02\x00\x00"  # mov esi, [rbx + cmd_line_ptr]
    + _mov_ecx(COMMAND_LINE_BYTES)
    + _SEND_ECX_BYTES_AT_RSI
    + b"\x8b\xb3\x18\x02\x00\x00"  # mov esi, [rbx + ramdisk_image]
    + b"\x8b\x8b\x1c\x02\x00\x00"  # mov ecx, [rbx + ramdisk_size]
    + b"\x67\xe3"
    + bytes([len(_SEND_ECX_BYTES_AT_RSI)])  # jecxz behind the loop
    + _SEND_ECX_BYTES_AT_RSI
    + POWER_OFF
)

# wait: mov dx, LSR; in al, dx; test al, data ready; jz wait; mov dx, RBR; in al, dx; inc al; out dx, al
ANSWER_ONE_MORE = (
    _mov_dx(_LINE_STATUS_PORT)
    + b"\xec\xa8\x01\x74\xf7"
    + _mov_dx(COM1_PORT)
    + b"\xec\xfe\xc0\xee"
    + POWER_OFF
)


def say(text: bytes) -> bytes:
    """Writes text to COM1; code to continue with must follow."""
    return _mov_dx(COM1_PORT) + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text)


def image(code: bytes) -> bytes:
    """A flat image that begins with code."""
    return code + b"\x90" * 4096
