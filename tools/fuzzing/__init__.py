"""The command `tools/fuzz`: coverage-guided fuzzing of what takes in foreign bytes."""
