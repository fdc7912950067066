"""The zygote: one exec'd, single-threaded process per VM that makes its device processes (DESIGN §1)."""
