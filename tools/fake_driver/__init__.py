"""A virtio driver without a guest, for testing and measuring devices: rings in memory, hot loop in C."""
