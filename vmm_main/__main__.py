"""Runs Bulkhead: by the `bulkhead` command, or as `python -m vmm_main`.

Kept short: Python compiles this file anew at every start, the modules it imports only once.
"""

import gc
import sys

gc.disable()  # until the guest runs: a collection among modules finds nothing, and they cost 0.7 ms

if "bulkhead_path" in sys._xoptions:  # set by launcher.c, since -S leaves site-packages out
    import posix
    from marshal import loads

    folders = str(sys._xoptions["bulkhead_path"]).split(":")
    sys.path += folders
    fd = -1
    try:
        bundle = f"{folders[0]}/vmm_main/__pycache__/start.{sys.implementation.cache_tag}.bundle"
        fd = posix.open(bundle, posix.O_RDONLY | posix.O_CLOEXEC)
        head = loads(posix.read(fd, loads(posix.read(fd, 5))))  # start_bundle.py describes it
        source, size_and_time, code = head[0]
        current = posix.stat(source)[6:9:2] == size_and_time
    except (OSError, EOFError, TypeError, ValueError):
        current = False
    if current:
        runner = type(sys)("ipc.lean_start.start_bundle")
        exec(code, runner.__dict__)
        runner.run_bundle(fd, folders, head)
    else:
        if fd >= 0:
            posix.close(fd)
        from ipc.lean_start.bundle_writer import import_and_bundle

        import_and_bundle(folders)

from vmm_main.start import main  # noqa: E402  (found by what is above)

sys.exit(main(sys.argv[1:]))
