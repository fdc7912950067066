"""System call filters: a profile per kind of thread (*.json), their compiler, and C that installs them."""
