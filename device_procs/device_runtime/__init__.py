"""What every device process runs: its control thread, and the workers that it starts."""
