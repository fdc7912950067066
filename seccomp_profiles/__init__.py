"""System call filters: a profile per kind of thread (*.json), their compiler, and the C that installs them."""
