"""What setup.py writes into a wheel; a checkout has no such module."""

GIT_COMMIT: str
