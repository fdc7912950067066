"""virtio-rng (virtio 1.2 §5.4): random bytes from a character device of the host."""
