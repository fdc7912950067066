"""Lets `tools/root_disk/make` start without an installed package: makes the disk, prints where it is."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from tools.root_disk.command import main

    sys.exit(main(sys.argv[1:]))
