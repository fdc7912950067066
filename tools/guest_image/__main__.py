"""Lets `tools/guest_image/make` start without an installed package: makes the image, prints where it is."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from tools.guest_image.command import main

    sys.exit(main(sys.argv[1:]))
