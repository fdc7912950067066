"""The guest that everybody starts with: Debian's cloud kernel and a small user space in an initramfs."""
