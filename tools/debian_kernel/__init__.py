"""Kernels out of Debian's packages, without installing them: download, modules in load order, initramfs."""
