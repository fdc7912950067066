"""Runs Bulkhead: by the `bulkhead` command, or as `python -m vmm_main`.

Kept short: Python compiles this file anew at every start, the modules it imports only once.
"""

import gc
import sys

gc.disable()  # until the guest runs: a collection among modules finds nothing, and they cost 0.7 ms

if "bulkhead_path" in sys._xoptions:  # set by launcher.c, since -S leaves site-packages out
    folders = str(sys._xoptions["bulkhead_path"]).split(":")
    sys.path += folders

    from vmm_main.direct_finder import install

    install(folders[0])

from vmm_main.kvm.early_setup import begin_unless_later  # noqa: E402  (found by what is above)

begin_unless_later(sys.argv[1:])

from vmm_main.start import main  # noqa: E402  (while KVM is being set up)

sys.exit(main(sys.argv[1:]))
