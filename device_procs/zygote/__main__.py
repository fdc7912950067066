"""Runs the zygote: python -I -S -E -X bulkhead_path=... __main__.py MAIN_PID WHOSE FILTERS.

WHOSE is "own-uids" if every device gets a uid of its own, "one-uid" without the privilege for it; FILTERS is
"seccomp" or "no-seccomp". The socket to main is descriptor 3.

Kept short: Python compiles this file anew at every start, the modules it imports only once.
"""

import gc
import posix
import sys
from marshal import loads

gc.disable()  # nothing here makes garbage, and a collection would touch pages that processes share

folders = str(sys._xoptions["bulkhead_path"]).split(":")
sys.path += folders

try:
    fd = -1
    try:
        bundle = f"{folders[0]}/vmm_main/__pycache__/zygote.{sys.implementation.cache_tag}.bundle"
        fd = posix.open(bundle, posix.O_RDONLY | posix.O_CLOEXEC)
        head = loads(posix.read(fd, loads(posix.read(fd, 5))))  # ipc/lean_start/start_bundle.py describes it
        source, size_and_time, code = head[0]
        current = posix.stat(source)[6:9:2] == size_and_time
    except (OSError, EOFError, TypeError, ValueError):
        current = False
    if current:
        runner = type(sys)("ipc.lean_start.start_bundle")
        exec(code, runner.__dict__)
        runner.run_zygote_bundle(fd, folders, head)
    else:
        if fd >= 0:
            posix.close(fd)
        from ipc.lean_start.bundle_writer import import_and_bundle_zygote

        import_and_bundle_zygote(folders)

    from device_procs.zygote.zygote import Zygote, import_back_ends

    # Only a test asks for it: kinds of devices that do what they are told.
    if "bulkhead_extra_kinds" in sys._xoptions:
        __import__(str(sys._xoptions["bulkhead_extra_kinds"]))
    import_back_ends()
except Exception as error:
    # FAILED of ipc/zygote_messages.py by hand: what encodes it may be what is missing.
    text = f"{type(error).__name__}: {error}".encode()[:1000]
    head = b"\x83\xa1m\xa6FAILED\xa1i\x00\xa1f\x82\xa5stage\xa6import\xa6reason\xda"
    posix.write(3, head + len(text).to_bytes(2, "big") + text)
    raise

main_pid, whose, filters = sys.argv[1:]
sys.exit(Zygote(3, privileged=whose == "own-uids").run(int(main_pid), seccomp=filters == "seccomp"))
