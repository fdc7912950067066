"""One vCPU: its descriptor, its thread, and what Python does with the exits that the C loop hands up.

The thread is in one of three places: in KVM_RUN (C, without the GIL), in a device's Python code, or parked at
the gate, where it begins. Whoever wants it elsewhere says so in `request` and kicks; the thread looks at the
top of its loop.
"""

from __future__ import annotations

import _thread
import errno
import posix as os
import sys

from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.kvm.system import check
from vmm_main.self_confinement import confine_vcpu_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.legacy_devices.uart16550 import Uart16550
    from vmm_main.machine.io_bus import IoBus

RUN, PARK, END = "run", "park", "end"

# Python frames of a vCPU's exits are shallow; 254 default stacks of 8 MiB would be 2 GiB of address space.
_STACK_BYTES = 256 << 10


class VcpuFailure:
    """What a vCPU could not go on from: the exit reason (or -errno) and KVM's detail."""

    __slots__ = ("cpu", "detail", "python_error", "reason")

    def __init__(self, cpu: int, reason: int, detail: int, python_error: BaseException | None = None) -> None:
        self.cpu = cpu
        self.reason = reason
        self.detail = detail
        self.python_error = python_error


class Vcpu:
    """A vCPU of one KVM VM, from its making to its close."""

    __slots__ = ("_at_gate", "_ended", "_gate", "_has_thread_id", "_io_bus", "_mmio_bus", "_on_failure",
                 "_on_triple_fault", "_parked_event", "_thread_id", "c", "cpu", "request")  # fmt: skip

    def __init__(
        self,
        vm_fd: int,
        cpu: int,
        run_size: int,
        io_bus: IoBus,
        mmio_bus: IoBus,
        *,
        uart: Uart16550 | None,
        uart_port: int,
        mmio_interrupts: ffi.CData | None,
        parked_event: int,
        on_triple_fault: Callable[[], None],
        on_failure: Callable[[VcpuFailure], None],
    ) -> None:
        """Creates the vCPU; its thread is started by start().

        parked_event, if it isn't -1, is an eventfd that is written whenever the thread has parked.
        on_triple_fault and on_failure are called on the vCPU's thread, which parks itself afterwards.

        Raises:
            HostError: KVM can't make it.
        """
        self.cpu = cpu
        self.c = ffi.new("struct vcpu *")
        check(lib.vcpu_init(self.c, vm_fd, cpu, run_size), f"can't create CPU {cpu}")
        if uart is not None:
            self.c.uart = uart.c
            self.c.uart_port = uart_port
        if mmio_interrupts is not None:
            self.c.mmio_interrupts = mmio_interrupts
        self._io_bus = io_bus
        self._mmio_bus = mmio_bus
        self._on_triple_fault = on_triple_fault
        self._parked_event = parked_event
        self._on_failure = on_failure
        self.request = PARK
        # A thread is born parked: _at_gate is free, and it takes _gate before anything else. So nobody waits
        # for it to come to the gate before the guest's first instruction.
        self._gate = _thread.allocate_lock()
        self._gate.acquire()
        self._at_gate = _thread.allocate_lock()
        self._thread_id = 0
        self._has_thread_id = _thread.allocate_lock()
        self._has_thread_id.acquire()
        self._ended = _thread.allocate_lock()

    @property
    def fd(self) -> int:
        """The vCPU's descriptor."""
        return int(self.c.fd)

    @property
    def thread_id(self) -> int:
        """The kernel's id of the thread, which must have been started."""
        with self._has_thread_id:
            return self._thread_id

    def start(self) -> None:
        """Starts the thread; it goes to the gate."""
        self._ended.acquire()
        previous = _thread.stack_size(_STACK_BYTES)
        _thread.start_new_thread(self._thread, ())
        _thread.stack_size(previous)

    def ask(self, request: str) -> None:
        """Asks the thread to park or end; wait_parked() or wait_ended() waits for it. Any thread."""
        self.request = request
        lib.vcpu_kick(self.c)

    def wait_parked(self, deadline_s: float) -> bool:
        """Waits until the thread stands at the gate. False if it doesn't within deadline_s seconds."""
        if not self._at_gate.acquire(timeout=deadline_s):
            return False
        self._at_gate.release()
        return True

    def resume(self) -> None:
        """Lets a parked thread run."""
        self.request = RUN
        self._at_gate.acquire()
        self._gate.release()

    def tell_of_pause(self) -> None:
        """Sets kvmclock's "guest stopped" flag, so that the guest's watchdogs forgive a parked vCPU's pause.

        Raises:
            HostError: KVM refuses.
        """
        result = lib.kvm_ioctl_value(self.fd, lib.KVM_KVMCLOCK_CTRL, 0)
        if result != -errno.EINVAL:  # this CPU hasn't switched kvmclock on: there is nobody to tell
            check(result, "KVMCLOCK_CTRL")

    def end(self) -> None:
        """Ends a parked thread and waits until it is gone."""
        self.request = END
        self._gate.release()
        self._ended.acquire()
        self._ended.release()

    def close(self) -> None:
        """Frees descriptor and run area of a vCPU whose thread has ended or was never started."""
        lib.vcpu_deinit(self.c)

    def _thread(self) -> None:
        self._thread_id = lib.vcpu_attach_thread(self.c)
        self._has_thread_id.release()
        try:
            confine_vcpu_thread()
        except HostError as error:
            self._on_failure(VcpuFailure(self.cpu, 0, 0, error))
        try:
            self._gate.acquire()
            while self.request != END:
                self._run()
                self._park()
        finally:
            lib.vcpu_detach_thread(self.c)
            self._ended.release()

    def _park(self) -> None:
        """Waits at the gate until something else is requested."""
        self._at_gate.release()
        if self._parked_event >= 0:
            os.eventfd_write(self._parked_event, 1)
        self._gate.acquire()

    def _run(self) -> None:
        """Runs the guest until something else is requested."""
        exit_info = self.c.exit
        while self.request == RUN:
            reason = lib.vcpu_run(self.c)
            try:
                if reason == lib.VCPU_EXIT_IO:
                    self._io_exit(exit_info, self._io_bus)
                elif reason == lib.VCPU_EXIT_MMIO:
                    self._io_exit(exit_info, self._mmio_bus)
                elif reason == lib.VCPU_EXIT_SHUTDOWN:
                    self.request = PARK
                    self._on_triple_fault()
                elif reason != lib.VCPU_KICKED:
                    self.request = PARK
                    self._on_failure(VcpuFailure(self.cpu, reason, exit_info.address))
            except Exception as error:  # noqa: BLE001  (a thread has no caller: the machine must hear of it)
                self.request = PARK
                self._on_failure(VcpuFailure(self.cpu, reason, exit_info.address, error))

    def _io_exit(self, exit_info: ffi.CData, bus: IoBus) -> None:
        """Hands one exit's accesses to the device at its address."""
        size = exit_info.size
        data = exit_info.data
        for position in range(0, exit_info.count * size, size):
            if exit_info.is_write:
                value = int.from_bytes(bytes(ffi.buffer(data + position, size)), sys.byteorder)
                bus.write(exit_info.address, size, value)
            else:
                value = bus.read(exit_info.address, size) & ((1 << 8 * size) - 1)
                ffi.memmove(data + position, value.to_bytes(size, sys.byteorder), size)


def registers_at_failure(vcpu_fd: int) -> tuple[int, int | None]:
    """Where a stopped vCPU is: RIP (linear), and its guest-physical address if that can be translated."""
    regs = ffi.new("struct kvm_regs *")
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_GET_REGS, regs), "GET_REGS")
    sregs = ffi.new("struct kvm_sregs *")
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_GET_SREGS, sregs), "GET_SREGS")
    linear = sregs.cs.base + regs.rip
    translation = ffi.new("struct kvm_translation *")
    translation.linear_address = linear
    result = lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_TRANSLATE, translation)
    return linear, translation.physical_address if result == 0 and translation.valid else None
