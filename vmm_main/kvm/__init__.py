"""KVM through cffi: system, VM and vCPU descriptors, and the vCPU run loop in C."""
