"""A device's process that was taken over, beside others of the same VM: what it does, what comes of it."""
