"""What main and the zygote say to each other: one kind of request, two kinds of answer.

main -> zygote                                zygote -> main
  MAKE_DEVICE (control socket, black box)       MADE_DEVICE | FAILED
                                                unasked: FAILED (it can't serve at all, and ends)

Requests are answered in their order, and may be sent before the zygote is up.
"""

from __future__ import annotations

from ipc.schema import UINT32_MAX, UINT64_MAX, Boolean, Integer, Record, Schema, Text

# Descriptors of MAKE_DEVICE, in this order.
MAKE_DEVICE_DESCRIPTORS = ("control socket", "black box")

# What ps and top call a device's process: the beginning of its id.
PROCESS_NAME_CHARACTERS = 15

TO_ZYGOTE: dict[str, Schema] = {
    "MAKE_DEVICE": Record(
        {
            "kind": Text(64),
            "name": Text(PROCESS_NAME_CHARACTERS),
            # Outside of its user namespace; (uid_t)-1 is nobody's.
            "host_uid": Integer(0, UINT32_MAX - 1),
            "host_gid": Integer(0, UINT32_MAX - 1),
            "limits": Record(
                {
                    "nofile": Integer(0, UINT32_MAX),
                    "fsize": Integer(0, UINT64_MAX),  # bytes
                    "data": Integer(0, UINT64_MAX),  # bytes
                }
            ),
            "seccomp": Boolean(),
        }
    ),
}

FROM_ZYGOTE: dict[str, Schema] = {
    "MADE_DEVICE": Record({"pid": Integer(1, (1 << 31) - 1)}),
    # stage: what it was doing, "clone" or "uid map"; reason: why it failed, for people.
    "FAILED": Record({"stage": Text(64), "reason": Text(1000)}),
}
