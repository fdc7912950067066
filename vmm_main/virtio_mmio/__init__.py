"""The virtio-mmio transport: a device's registers in the guest's memory space, and its interrupt."""
