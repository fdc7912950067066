"""The jail of a device process: what is taken from it before it is given anything (DESIGN §6)."""
