"""A virtio driver without a guest, for tests of devices and for measuring them: rings in memory, hot loop in C."""
