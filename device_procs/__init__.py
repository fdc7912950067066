"""Device processes: one virtio device each, in a sandbox of its own. Never imports vmm_main."""
