"""/dev/kvm: whether this host has it, what it can do, and VMs made from it."""

from __future__ import annotations

import errno
import posix as os

from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib

_IN_A_BOX = "tools/kvm_lab runs Bulkhead on a machine of its own that has one"
_MAX_CPUID_ENTRIES = 256
_PATH = "/dev/kvm"


def check(result: int, what: str) -> int:
    """Passes a result of KVM's on, or raises what a person can do something with.

    Raises:
        HostError: result is -errno; the text says what failed.
    """
    if result < 0:
        raise HostError(f"KVM: {what}: {os.strerror(-result)}")
    return result


class KvmSystem:
    """The system descriptor, /dev/kvm."""

    __slots__ = ("_early", "fd", "run_size")

    def __init__(self, path: str = _PATH) -> None:
        """Opens path and checks that it is a KVM this program can use.

        What early_setup.py has had done is taken, once, instead of being done again.

        Raises:
            HostError: There is none, it is forbidden, or it lacks something.
        """
        self._early = lib.kvm_early_setup_take() if path == _PATH else None
        try:
            if self._early is not None and self._early.kvm_fd >= 0:
                self.fd = int(self._early.kvm_fd)
            else:
                self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise HostError(
                    f"{path} doesn't exist: this host has no KVM, or its module isn't loaded; {_IN_A_BOX}"
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HostError(
                    f"{path}: permission denied; join the group that owns it (usually kvm) or ask root"
                ) from error
            raise HostError(f"{path}: can't open: {error.strerror}; {_IN_A_BOX}") from error
        version = lib.kvm_ioctl_value(self.fd, lib.KVM_GET_API_VERSION, 0)
        if version != lib.KVM_API_VERSION:
            raise HostError(f"{path} isn't a KVM that Bulkhead knows (API version {version}, needed: 12)")
        for capability, name in (
            (lib.KVM_CAP_IRQCHIP, "an in-kernel interrupt controller"),
            (lib.KVM_CAP_IRQFD, "irqfd"),
            (lib.KVM_CAP_IOEVENTFD, "ioeventfd"),
            (lib.KVM_CAP_IMMEDIATE_EXIT, "immediate_exit"),
        ):
            if self.extension(capability) <= 0:
                raise HostError(f"{path}: this host's KVM lacks {name}, which Bulkhead needs")
        self.run_size = check(
            lib.kvm_ioctl_value(self.fd, lib.KVM_GET_VCPU_MMAP_SIZE, 0), "GET_VCPU_MMAP_SIZE"
        )

    def extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION: 0 for no, otherwise yes or how many."""
        return int(lib.kvm_ioctl_value(self.fd, lib.KVM_CHECK_EXTENSION, capability))

    def create_vm(self) -> int:
        """A new VM's descriptor.

        Raises:
            HostError: KVM refuses, e.g. because another hypervisor holds the CPU.
        """
        if self._early is not None and self._early.vm_fd >= 0:
            ready = int(self._early.vm_fd)
            self._early.vm_fd = -1
            return ready
        while True:
            fd = int(lib.kvm_ioctl_value(self.fd, lib.KVM_CREATE_VM, 0))
            if fd != -errno.EINTR:  # KVM takes a pending signal as a reason to give up
                return check(fd, "can't create a VM")

    def supported_cpuid(self) -> ffi.CData:
        """KVM_GET_SUPPORTED_CPUID: a struct kvm_cpuid2 with all leaves that KVM can show to a guest.

        Raises:
            HostError: KVM refuses.
        """
        if self._early is not None and self._early.cpuid != ffi.NULL:
            return self._early.cpuid
        cpuid = ffi.new("struct kvm_cpuid2 *", {"entries": _MAX_CPUID_ENTRIES})
        cpuid.nent = _MAX_CPUID_ENTRIES
        check(lib.kvm_ioctl_pointer(self.fd, lib.KVM_GET_SUPPORTED_CPUID, cpuid), "GET_SUPPORTED_CPUID")
        return cpuid

    def close(self) -> None:
        """Closes the descriptor, and a VM made early that nobody has asked for."""
        if self._early is not None and self._early.vm_fd >= 0:
            os.close(self._early.vm_fd)
        os.close(self.fd)
