"""The command `tools/soak`: real VMs, and everything that happens to VMs."""
