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
    try:
        fd = posix.open(f"{folders[0]}/vmm_main/__pycache__/start.{sys.implementation.cache_tag}.bundle", 0)
        # No more than it has: what malloc gives once by the megabyte it keeps on the heap from then on.
        made_in, *parts = loads(posix.read(fd, posix.fstat(fd).st_size))
        posix.close(fd)
        name, source, size_and_time, code = parts[0][0]
        current = posix.stat(source)[6:9:2] == size_and_time
    except (OSError, EOFError, TypeError, ValueError):
        current = False
    if current:
        start_bundle = {"__name__": name}
        exec(code, start_bundle)
        start_bundle["run_bundle"](folders, made_in, *parts)
    else:
        from vmm_main.start_bundle import import_and_bundle

        import_and_bundle(folders)

from vmm_main.start import main  # noqa: E402  (found by what is above)

sys.exit(main(sys.argv[1:]))
