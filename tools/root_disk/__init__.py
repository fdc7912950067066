"""A root disk for guests: an ext4 image of Debian, installed from its packages without being root."""
