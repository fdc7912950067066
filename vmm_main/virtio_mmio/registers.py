"""The virtio-mmio registers: where each is, and what doesn't depend on the driver (virtio 1.2 §4.2.2)."""

from __future__ import annotations

from vmm_main.virtio_mmio.queue_registers import DESCRIPTOR_AREA, DEVICE_AREA, DRIVER_AREA

# Offsets of registers (virtio 1.2 §4.2.2, table 4.1).
MAGIC_VALUE = 0x000
VERSION = 0x004
DEVICE_ID = 0x008
VENDOR_ID = 0x00C
DEVICE_FEATURES = 0x010
DEVICE_FEATURES_SEL = 0x014
DRIVER_FEATURES = 0x020
DRIVER_FEATURES_SEL = 0x024
QUEUE_SEL = 0x030
QUEUE_NUM_MAX = 0x034
QUEUE_NUM = 0x038
QUEUE_READY = 0x044
QUEUE_NOTIFY = 0x050
STATUS = 0x070
QUEUE_DESC_LOW = 0x080
QUEUE_DESC_HIGH = 0x084
QUEUE_DRIVER_LOW = 0x090
QUEUE_DRIVER_HIGH = 0x094
QUEUE_DEVICE_LOW = 0x0A0
QUEUE_DEVICE_HIGH = 0x0A4
SHM_LEN_LOW = 0x0B0
SHM_LEN_HIGH = 0x0B4
SHM_BASE_LOW = 0x0B8
SHM_BASE_HIGH = 0x0BC
CONFIG_GENERATION = 0x0FC
CONFIG = 0x100

CONFIG_MAX_BYTES = 0x100
NOTIFY_BYTES = 4  # how wide the write to QueueNotify is that kicks

_MAGIC = 0x74726976
_VERSION = 2
_VENDOR = int.from_bytes(b"BULK", "little")
UINT32_MAX = 0xFFFF_FFFF

CONSTANTS = {
    MAGIC_VALUE: _MAGIC,  # "The device MUST return 0x74726976 in MagicValue."
    VERSION: _VERSION,  # "The device MUST return value 0x2 in Version."
    VENDOR_ID: _VENDOR,
    # "Reading from a non-existent region [...] results in a length of -1", and in a base of all ones. No
    # device has shared memory, whatever SHMSel says.
    SHM_LEN_LOW: UINT32_MAX,
    SHM_LEN_HIGH: UINT32_MAX,
    SHM_BASE_LOW: UINT32_MAX,
    SHM_BASE_HIGH: UINT32_MAX,
}

# (area of the queue, number of its address's lowest bit that the register has).
AREA_REGISTERS = {
    QUEUE_DESC_LOW: (DESCRIPTOR_AREA, 0),
    QUEUE_DESC_HIGH: (DESCRIPTOR_AREA, 32),
    QUEUE_DRIVER_LOW: (DRIVER_AREA, 0),
    QUEUE_DRIVER_HIGH: (DRIVER_AREA, 32),
    QUEUE_DEVICE_LOW: (DEVICE_AREA, 0),
    QUEUE_DEVICE_HIGH: (DEVICE_AREA, 32),
}

# Feature bits of queues and transport (virtio 1.2 §6). Of those that reach beyond the device, the ones that
# this transport can keep: a split ring, kicks by queue index, no reset of one queue. Bits of the device's own
# are 0 to 23 and from 50 on (§2.2).
INDIRECT_DESC = 1 << 28
EVENT_IDX = 1 << 29
VERSION_1 = 1 << 32
IN_ORDER = 1 << 35
_DEVICE_BITS = (1 << 24) - 1 | (1 << 64) - (1 << 50)
OFFERABLE = _DEVICE_BITS | INDIRECT_DESC | EVENT_IDX | VERSION_1 | IN_ORDER
