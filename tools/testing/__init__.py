"""The command `tools/test`."""
