"""The light VM's board: what is on it, where, and how a KVM VM is made to show it.

Kept through reboots: guest memory, devices, boot files. Made anew: the KVM VM with its vCPUs and interrupt
controllers, so that a reboot begins in the state that a power-on does (docs/decisions/).
"""

from __future__ import annotations

import posix as os
import time

from vmm_main.errors import HostError
from vmm_main.event_loop import READABLE
from vmm_main.guest_boot.acpi.tables import build_acpi_tables
from vmm_main.guest_boot.loader import BootImages
from vmm_main.guest_boot.reset_entry import write_reset_entry
from vmm_main.guest_memory import GuestMemory
from vmm_main.kvm._kvm import lib
from vmm_main.kvm.cpu_state import set_cpuid, set_entry_registers, set_firmware_msrs
from vmm_main.kvm.cpuid import GuestCpuid
from vmm_main.kvm.system import KvmSystem
from vmm_main.kvm.vcpu import PARK, Vcpu
from vmm_main.kvm.vm import KvmVm
from vmm_main.legacy_devices.i8042 import I8042CommandPort, I8042DataPort
from vmm_main.legacy_devices.power_registers import PowerRegisters
from vmm_main.legacy_devices.rtc import Rtc
from vmm_main.legacy_devices.uart16550 import Uart16550
from vmm_main.machine.address_map import (
    ACPI_TABLES_GPA,
    COM1_PORT,
    COM1_PORTS,
    I8042_COMMAND_PORT,
    I8042_DATA_PORT,
    POWER_PORT,
    POWER_PORTS,
    RTC_PORT,
    RTC_PORTS,
)
from vmm_main.machine.gsi_map import COM1_GSI, GED_GSI
from vmm_main.machine.io_bus import IoBus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.event_loop import EventLoop
    from vmm_main.fd_sets import FdSets
    from vmm_main.kvm.vcpu import VcpuFailure
    from vmm_main.virtio_mmio.slots import VirtioMmioSlots
    from vmm_main.virtio_mmio.virtio_device import VirtioDevice
    from vmm_main.vm_config import VmConfig

# A vCPU leaves KVM_RUN within microseconds of its kick; this catches a host that has stopped scheduling it.
_PARK_DEADLINE_S = 60.0


class MicroVm:
    """The board. Methods are for the main thread unless they say otherwise."""

    __slots__ = (
        "_config",
        "_cpuid",
        "_devices_loop",
        "_images",
        "_io_bus",
        "_kvm",
        "_mmio_bus",
        "_on_failure",
        "_on_reset",
        "_parked_event",
        "_slots",
        "_vm",
        "memory",
        "power_registers",
        "uart",
        "vcpus",
    )  # fmt: skip

    def __init__(
        self,
        config: VmConfig,
        loop: EventLoop,
        serial: ChardevBackend | None,
        fd_sets: FdSets,
        *,
        devices: Sequence[VirtioDevice],
        devices_loop: EventLoop | None,
        on_poweroff: Callable[[], None],
        on_reset: Callable[[], None],
        on_failure: Callable[[VcpuFailure], None],
    ) -> None:
        """Opens /dev/kvm and the boot files and makes memory and devices; power_on() makes the CPUs.

        The virtio devices go to the virtio-mmio slots in their order, and stay the caller's to close. A CPU
        that waits for a device can only park if devices_loop, where the device answers, runs meanwhile.
        on_poweroff, on_reset and on_failure are called on vCPU threads.

        Raises:
            ConfigurationError: A boot file can't be used.
            HostError: The host lacks KVM or memory.
        """
        assert config.kernel_path is not None
        self._config = config
        self._on_reset = on_reset
        self._on_failure = on_failure
        self._images = BootImages(
            config.kernel_path,
            config.initrd_path,
            kernel_fd=fd_sets.find(config.kernel_path, f"-kernel {config.kernel_path}"),
            initrd_fd=fd_sets.find(config.initrd_path, f"-initrd {config.initrd_path}"),
        )
        self._kvm = KvmSystem()
        limit = self._kvm.extension(lib.KVM_CAP_MAX_VCPUS)
        if config.cpus > limit:
            raise HostError(f"-smp {config.cpus}: this host's KVM allows at most {limit} CPUs")
        self._cpuid = GuestCpuid(self._kvm, config.cpus)
        self.memory = GuestMemory(config.memory_bytes, include_in_core=config.dump_guest_core)
        self._vm: KvmVm | None = None
        self.vcpus: list[Vcpu] = []
        self._devices_loop = devices_loop
        self._parked_event = -1
        if devices_loop is not None:
            self._parked_event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            devices_loop.watch(self._parked_event, READABLE, self._on_parked)

        self._io_bus = IoBus()
        self._mmio_bus = IoBus()
        self.power_registers = PowerRegisters(
            on_poweroff=on_poweroff, on_reset=on_reset, raise_interrupt=self._raise_ged
        )
        self._io_bus.add(POWER_PORT, POWER_PORTS, self.power_registers)
        self._io_bus.add(RTC_PORT, RTC_PORTS, Rtc(base_is_utc=config.rtc_base_is_utc))
        self._io_bus.add(I8042_DATA_PORT, 1, I8042DataPort())
        self._io_bus.add(I8042_COMMAND_PORT, 1, I8042CommandPort(on_reset))
        self.uart: Uart16550 | None = None
        if serial is not None:
            self.uart = Uart16550(loop, serial)
            self._io_bus.add(COM1_PORT, COM1_PORTS, self.uart)
        self._slots: VirtioMmioSlots | None = None
        if devices:
            from vmm_main.virtio_mmio.slots import VirtioMmioSlots

            self._slots = VirtioMmioSlots(devices, self._mmio_bus, self.memory.is_ram)
            self.power_registers.set_slots_present(self._slots.present)

    @property
    def boot_files(self) -> list[tuple[str, int]]:
        """How the user asked for each, and its descriptor: for an audit."""
        return self._images.told

    def power_on(self) -> None:
        """Makes the KVM VM and its CPUs and loads the guest; all CPUs are parked afterwards.

        Raises:
            ConfigurationError: A boot file can't be used.
            HostError: KVM refuses a step.
        """
        config = self._config
        self.memory.write(
            ACPI_TABLES_GPA, build_acpi_tables(config.cpus, com1=self.uart is not None, rtc=True)
        )
        write_reset_entry(self.memory)
        entry = self._images.load(self.memory, config.append, ACPI_TABLES_GPA)
        self._vm = KvmVm(self._kvm, self.memory)
        if self.uart is not None:
            self.uart.reset(self._vm.fd, COM1_GSI)
        if self._slots is not None:
            self._slots.attach(self._vm)
        self.power_registers.reset()
        for cpu in range(config.cpus):
            vcpu = Vcpu(
                self._vm.fd,
                cpu,
                self._kvm.run_size,
                self._io_bus,
                self._mmio_bus,
                uart=self.uart,
                uart_port=COM1_PORT,
                parked_event=self._parked_event,
                mmio_interrupts=None if self._slots is None else self._slots.interrupts,
                on_triple_fault=self._on_reset,
                on_failure=self._on_failure,
            )
            self.vcpus.append(vcpu)
            set_cpuid(vcpu.fd, self._cpuid, cpu)
            set_firmware_msrs(vcpu.fd)
        set_entry_registers(self.vcpus[0].fd, entry)
        for vcpu in self.vcpus:
            vcpu.start()

    def resume(self) -> None:
        """Lets all CPUs run. All must be parked.

        Raises:
            HostError: KVM can't set a clock that was held.
        """
        for vcpu in self.vcpus:
            vcpu.wait_parked(_PARK_DEADLINE_S)
        if self._vm is not None and self._vm.release_clock():
            for vcpu in self.vcpus:
                vcpu.tell_of_pause()
        for vcpu in self.vcpus:
            vcpu.resume()

    def hold_clock(self) -> None:
        """Makes the guest's clock stand until resume(). All CPUs must be parked.

        Raises:
            HostError: KVM can't say what time the guest has.
        """
        if self._vm is not None:
            self._vm.hold_clock()

    def ask_to_park(self) -> None:
        """Asks all CPUs to park. Any thread, a vCPU's own included: it parks when its exit is done."""
        for vcpu in self.vcpus:
            vcpu.ask(PARK)

    def park(self) -> None:
        """Asks all CPUs to park and waits until they have.

        Raises:
            HostError: One doesn't.
        """
        self.ask_to_park()
        until_s = time.monotonic() + _PARK_DEADLINE_S
        for vcpu in self.vcpus:
            while self._devices_loop is not None and not vcpu.wait_parked(0) and time.monotonic() < until_s:
                self._devices_loop.run_once(_PARK_DEADLINE_S)
            if not vcpu.wait_parked(max(0.0, until_s - time.monotonic())):
                raise HostError(f"CPU {vcpu.cpu} didn't stop within {_PARK_DEADLINE_S:.0f} s")

    def power_off(self) -> None:
        """Parks and frees the CPUs and the KVM VM. Memory, devices and boot files stay."""
        if self._vm is None:
            return
        self.park()
        for vcpu in self.vcpus:
            vcpu.end()
            vcpu.close()
        self.vcpus = []
        if self.uart is not None:
            self.uart.reset(-1, COM1_GSI)
        self._vm.close()
        self._vm = None

    def reset_devices(self) -> None:
        """Ends what the guest's drivers have begun with virtio devices. All CPUs must be parked.

        Raises:
            HostError: A device can't be reset.
        """
        if self._slots is not None:
            self._slots.reset_devices()

    def close(self) -> None:
        """Frees everything."""
        self.power_off()
        self._kvm.close()
        self._images.close()
        self.memory.close()
        if self.uart is not None:
            self.uart.close()
        if self._slots is not None:
            self._slots.close()
        if self._devices_loop is not None:
            self._devices_loop.unwatch(self._parked_event)
            os.close(self._parked_event)

    def _on_parked(self, _events: int) -> None:
        os.eventfd_read(self._parked_event)

    def _raise_ged(self) -> None:
        if self._vm is not None:
            self._vm.pulse_gsi(GED_GSI)
