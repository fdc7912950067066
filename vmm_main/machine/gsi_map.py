"""Which global system interrupt belongs to whom on the x86_64 microvm.

There is one I/O APIC with 24 pins, and GSI n is its pin n. Hardware-reduced ACPI has no PIC and no PIT, so
nothing is bound to the ISA numbers; COM1 and the RTC keep theirs because people expect to see them there.

    GSI   owner                  trigger
    0-3   nobody                 (PIT, keyboard, cascade and COM2 of a PC)
    4     COM1                   edge, active high
    5-7   virtio-mmio slots 0-2  edge, active high
    8     RTC                    edge, active high
    9     GED                    edge, active high
    10-12 virtio-mmio slots 3-5  edge, active high
    13-15 nobody                 (FPU and disks of a PC)
    16-20 virtio-mmio slots 6-10 edge, active high
    21-23 nobody

All are edge-triggered: an irqfd without a resample eventfd raises its pin and lowers it at once, which a
level-triggered pin may miss while it is masked. A device whose events pile up raises its pin once per event.
"""

from __future__ import annotations

IO_APIC_PINS = 24

COM1_GSI = 4
RTC_GSI = 8
GED_GSI = 9
VIRTIO_MMIO_GSIS = (5, 6, 7, 10, 11, 12, 16, 17, 18, 19, 20)
