"""A KVM host in a box: runs anything on a machine that has real KVM, wherever QEMU runs (docs/testing.md)."""
