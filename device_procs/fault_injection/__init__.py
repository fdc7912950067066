"""Places where a device process of a test build dies on demand; nothing of them is in the normal build."""
