"""A device process without zygote and jail: argv is kind, control socket, black box."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime import control_thread

black_box = lib.black_box_attach(int(sys.argv[3]))
if black_box == ffi.NULL:
    raise OSError(ffi.errno, "black_box_attach")
control_thread.run(sys.argv[1], int(sys.argv[2]), black_box)
