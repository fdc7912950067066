"""Character device back ends: stdio, pty, socket, file."""
