"""virtio-blk (virtio 1.2 §5.2): a disk whose sectors are those of a file or a block device of the host."""
