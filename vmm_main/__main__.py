"""Runs Bulkhead: by the `bulkhead` command, or as `python -m vmm_main`.

Kept short: Python compiles this file anew at every start, the modules it imports only once.
"""

import sys

if "bulkhead_path" in sys._xoptions:  # set by launcher.c, since -S leaves site-packages out
    sys.path += str(sys._xoptions["bulkhead_path"]).split(":")

from vmm_main.start import main

sys.exit(main(sys.argv[1:]))
