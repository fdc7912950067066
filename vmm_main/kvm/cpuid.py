"""What CPUID tells the guest: what KVM supports, with the VM's own topology put in.

One socket of N cores with one thread each. APIC id n is CPU n, so ids are the same in xAPIC and x2APIC mode.
Leaf numbers and fields: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
"""

from __future__ import annotations

from vmm_main.kvm._kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.kvm.system import KvmSystem

_MAX_LEAF = 0x0
_FEATURES = 0x1
_CACHES_INTEL = 0x4
_TOPOLOGY = 0xB
_TOPOLOGY_V2 = 0x1F
_AMD_SIZES = 0x8000_0008
_AMD_CACHES = 0x8000_001D
_AMD_TOPOLOGY = 0x8000_001E

_ECX1_X2APIC = 1 << 21
_ECX1_TSC_DEADLINE = 1 << 24
_ECX1_HYPERVISOR = 1 << 31
_EDX1_HTT = 1 << 28

_LEVEL_SMT = 1 << 8  # "level type" of leaf 0xB, in ECX[15:8]
_LEVEL_CORE = 2 << 8


class GuestCpuid:
    """The leaves of one VM; for_cpu() puts in what differs from CPU to CPU."""

    __slots__ = ("_cpuid", "_per_cpu_leaves")

    def __init__(self, system: KvmSystem, cpus: int) -> None:
        """Asks KVM once and adapts the answer.

        Args:
            system: The open /dev/kvm.
            cpus: How many CPUs the VM has.

        Raises:
            HostError: KVM refuses to answer.
        """
        supported = system.supported_cpuid()
        tsc_deadline = system.extension(lib.KVM_CAP_TSC_DEADLINE_TIMER) > 0
        core_bits = (cpus - 1).bit_length()
        leaves = [
            e for e in supported.entries[0 : supported.nent] if e.function not in (_TOPOLOGY, _TOPOLOGY_V2)
        ]
        cpuid = ffi.new("struct kvm_cpuid2 *", {"entries": len(leaves) + 2})
        self._cpuid = cpuid
        self._per_cpu_leaves: list[ffi.CData] = []
        for index, leaf in enumerate(leaves):
            cpuid.entries[index] = leaf
            self._adapt(cpuid.entries[index], cpus, core_bits, tsc_deadline=tsc_deadline)
        self._add_topology(len(leaves), cpus, core_bits)
        cpuid.nent = len(leaves) + 2

    def _adapt(self, leaf: ffi.CData, cpus: int, core_bits: int, *, tsc_deadline: bool) -> None:
        function = leaf.function
        if function == _MAX_LEAF:
            leaf.eax = max(leaf.eax, _TOPOLOGY)
            if leaf.eax >= _TOPOLOGY_V2:
                leaf.eax = _TOPOLOGY_V2 - 1  # leaf 0xB says it all; an empty 0x1F would hide it
        elif function == _FEATURES:
            leaf.ecx |= _ECX1_HYPERVISOR | _ECX1_X2APIC
            if tsc_deadline:  # KVM has it, but leaves it to us to say so
                leaf.ecx |= _ECX1_TSC_DEADLINE
            # Eight bits for the number of ids: leaf 0xB has room for all of them.
            leaf.ebx = leaf.ebx & 0x0000_FFFF | min(1 << core_bits, 0xFF) << 16
            leaf.edx = leaf.edx | _EDX1_HTT if cpus > 1 else leaf.edx & ~_EDX1_HTT
            self._per_cpu_leaves.append(leaf)
        elif function == _CACHES_INTEL and leaf.eax & 0x1F:
            level = leaf.eax >> 5 & 0x7
            sharing = (1 << core_bits) - 1 if level >= 3 else 0
            leaf.eax = leaf.eax & 0x3FFF | sharing << 14 | min((1 << core_bits) - 1, 63) << 26
        elif function == _AMD_SIZES:
            leaf.ecx = leaf.ecx & ~0xF0FF | core_bits << 12 | cpus - 1
        elif function == _AMD_CACHES and leaf.eax & 0x1F:
            level = leaf.eax >> 5 & 0x7
            leaf.eax = leaf.eax & 0x3FFF | (cpus - 1 if level >= 3 else 0) << 14
        elif function == _AMD_TOPOLOGY:
            leaf.ebx = 0  # threads per core - 1 in bits 15:8; the core's id goes to bits 7:0
            leaf.ecx = 0  # one node
            self._per_cpu_leaves.append(leaf)

    def _add_topology(self, position: int, cpus: int, core_bits: int) -> None:
        levels = ((0, 1, _LEVEL_SMT), (core_bits, cpus, _LEVEL_CORE))
        for index, (shift, processors, level_type) in enumerate(levels):
            leaf = self._cpuid.entries[position + index]
            leaf.function = _TOPOLOGY
            leaf.index = index
            leaf.flags = lib.KVM_CPUID_FLAG_SIGNIFCANT_INDEX
            leaf.eax = shift
            leaf.ebx = processors
            leaf.ecx = level_type | index
            self._per_cpu_leaves.append(leaf)

    def for_cpu(self, cpu: int) -> ffi.CData:
        """The struct kvm_cpuid2 of CPU number cpu; good until the next call."""
        for leaf in self._per_cpu_leaves:
            if leaf.function == _FEATURES:
                leaf.ebx = leaf.ebx & 0x00FF_FFFF | cpu << 24
            elif leaf.function == _TOPOLOGY:
                leaf.edx = cpu
            else:  # _AMD_TOPOLOGY
                leaf.eax = cpu
                leaf.ebx = leaf.ebx & ~0xFF | cpu & 0xFF
        return self._cpuid
