"""Lets `tools/fuzz` start without an installed package."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from tools.fuzzing.command import main

    sys.exit(main(sys.argv[1:]))
