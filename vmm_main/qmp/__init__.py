"""The QMP server."""
