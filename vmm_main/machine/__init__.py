"""Boards and the life of the virtual machine."""
