"""What a fresh machine needs before anything of the checkout runs: Debian packages, virtual environment."""
