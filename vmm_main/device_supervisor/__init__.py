"""The lives of device processes: making, watching, restarting, and the end of them."""
