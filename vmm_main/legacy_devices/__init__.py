"""Devices that are not virtio: UART, RTC, keyboard controller, power management registers."""
