"""A stock Debian kernel as Bulkhead's guest, on real KVM (in the box where need be)."""
