"""The control thread, in a process without a jail: what main may say when, and how the process ends."""

from __future__ import annotations

import os
import struct
from typing import Any

import msgpack
import pytest

from device_procs.data_plane._data_plane import lib
from device_procs.device_runtime.control_thread import STATUS_FAILED, STATUS_MAIN_GONE
from device_procs.device_runtime.device import RING_FEATURES
from ipc.messages import Message
from tests.device.device_rig import HANGS_AFTER_S, DeviceRig
from tests.unit.device_runtime.conftest import NO_LIMIT

EVENT_IDX = 1 << lib.VIRTIO_F_EVENT_IDX


def reason_of_failure(rig: DeviceRig) -> str:
    """Why the process says it fails; it ends with the status for that."""
    reason: str = rig.expect("FAILED")["reason"]
    assert rig.wait_for_end() == STATUS_FAILED
    return reason


def run(rig: DeviceRig, base: int | None = 0) -> None:
    rig.run_queue(0, RING_FEATURES, base)
    rig.queues[0].fill(32)


def test_ready_is_the_answer_to_configure(device: DeviceRig, source: int) -> None:
    device.configure(NO_LIMIT, (source,))
    message = device.next_message()
    assert (message.name, message.request_id) == ("READY", 1)
    assert message.fields == {"features": RING_FEATURES, "config": b""}
    assert device.black_box.page.stage in (lib.STAGE_FILTERED, lib.STAGE_READY)
    assert device.request("GET_METRICS", "METRICS")["requests"] == 0
    assert device.black_box.page.stage == lib.STAGE_READY


def test_the_memfd_is_closed_once_it_is_mapped(ready: DeviceRig) -> None:
    links = [os.readlink(f"/proc/{ready.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{ready.pid}/fd")]
    assert not any("fake-guest-memory" in link for link in links)
    with open(f"/proc/{ready.pid}/maps", encoding="utf-8") as maps:
        assert "fake-guest-memory" in maps.read()


def test_requests_are_completed(ready: DeviceRig) -> None:
    run(ready)
    assert ready.queues[0].run(500, 16, HANGS_AFTER_S) == 500 * 32
    assert ready.request("GET_METRICS", "METRICS")["bytes"] == 500 * 32
    queue = ready.black_box.page.queues[0]
    assert (queue.popped, queue.completed) == (500, 500)
    assert queue.signals > 0


@pytest.mark.parametrize("features", [RING_FEATURES, RING_FEATURES & ~EVENT_IDX], ids=["event-idx", "flags"])
def test_with_and_without_event_idx(source: int, device: DeviceRig, features: int) -> None:
    device.queues.clear()
    device.close_eventfds()
    device.make_queues(64, event_idx=bool(features & EVENT_IDX))
    device.configure(NO_LIMIT, (source,))
    device.expect("READY")
    device.run_queue(0, features)
    device.queues[0].fill(32)
    assert device.queues[0].run(500, 16, HANGS_AFTER_S) == 500 * 32


def test_quiesce_and_go_on(ready: DeviceRig) -> None:
    run(ready)
    queue = ready.queues[0]
    queue.run(70000, 32, HANGS_AFTER_S)
    assert ready.request("QUIESCE", "QUIESCED") == {"bases": [70000 % 65536]}
    assert ready.request("QUIESCE", "QUIESCED") == {"bases": [70000 % 65536]}
    queue.offer(4)
    ready.request("GET_METRICS", "METRICS")
    assert queue.take() is None
    ready.send("SET_VRING_ENABLE", index=0, enable=True)
    assert queue.wait(HANGS_AFTER_S) == (4, 32)


def test_a_queue_that_never_ran_has_base_0(ready: DeviceRig) -> None:
    assert ready.request("QUIESCE", "QUIESCED") == {"bases": [0]}


def test_one_queue_is_stopped_and_started(ready: DeviceRig) -> None:
    run(ready)
    ready.queues[0].run(10, 2, HANGS_AFTER_S)
    ready.send("SET_VRING_ENABLE", index=0, enable=False)
    ready.send("SET_VRING_ENABLE", index=0, enable=True)
    assert ready.queues[0].run(10, 2, HANGS_AFTER_S) == 320


def test_a_reset_forgets_the_driver(ready: DeviceRig) -> None:
    run(ready)
    ready.queues[0].run(100, 8, HANGS_AFTER_S)
    assert ready.request("RESET_DEVICE", "RESET_DONE") == {}
    # As another driver, or another operating system, would: from 0 again.
    ready.queues[0].reset()
    run(ready)
    assert ready.queues[0].run(100, 8, HANGS_AFTER_S) == 3200
    assert ready.request("QUIESCE", "QUIESCED") == {"bases": [100]}


def test_a_successor_resumes_where_the_used_ring_is(ready: DeviceRig) -> None:
    run(ready)
    ready.queues[0].run(5, 1, HANGS_AFTER_S)
    ready.request("RESET_DEVICE", "RESET_DONE")
    ready.run_queue(0, RING_FEATURES, base=None)
    assert ready.queues[0].run(5, 1, HANGS_AFTER_S) == 160
    assert ready.request("QUIESCE", "QUIESCED") == {"bases": [10]}


def test_a_malformed_chain_needs_a_reset(ready: DeviceRig) -> None:
    run(ready)
    queue = ready.queues[0]
    queue.offer(0, 64)
    reason = "queue 0: the available ring names a descriptor beyond the table"
    assert ready.expect("NEEDS_RESET") == {"reason": reason}
    assert queue.wait(HANGS_AFTER_S) == (0, 32)  # what came before it is completed
    queue.offer(1)
    ready.request("GET_METRICS", "METRICS")
    assert queue.take() is None
    ready.request("RESET_DEVICE", "RESET_DONE")
    queue.reset()
    run(ready)
    assert queue.run(50, 4, HANGS_AFTER_S) == 1600


def test_rings_that_are_not_in_ram_need_a_reset(ready: DeviceRig) -> None:
    ready.send("SET_FEATURES", features=RING_FEATURES)
    ready.send("SET_VRING_NUM", index=0, num=64)
    ready.send("SET_VRING_ADDR", index=0, desc_gpa=1 << 40, avail_gpa=0, used_gpa=0)
    ready.send("SET_VRING_ENABLE", index=0, enable=True)
    assert ready.expect("NEEDS_RESET") == {"reason": "queue 0: a ring isn't in RAM"}
    ready.request("RESET_DEVICE", "RESET_DONE")
    run(ready)
    assert ready.queues[0].run(5, 1, HANGS_AFTER_S) == 160


def test_a_used_ring_that_was_changed_meanwhile_needs_a_reset(ready: DeviceRig) -> None:
    run(ready)
    queue = ready.queues[0]
    queue.run(5, 1, HANGS_AFTER_S)
    ready.request("QUIESCE", "QUIESCED")
    ready.ram.write(queue.used_gpa + 2, struct.pack("<H", 4))
    ready.send("SET_VRING_ENABLE", index=0, enable=True)
    reason = "queue 0: the used ring's index isn't where the device left it"
    assert ready.expect("NEEDS_RESET") == {"reason": reason}


def test_a_fault_of_the_source_ends_the_process(device: DeviceRig) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    device.configure(NO_LIMIT, (null,))
    os.close(null)
    device.expect("READY")
    run(device)
    device.queues[0].offer(0)
    said = device.expect("FAILED")
    assert device.wait_for_end() == STATUS_FAILED
    assert (said["reason"], said["back_end"]) == ("queue 0: No data available", True)
    assert said["where"].startswith("HostFaultError: queue 0: No data available (at control_thread.py:")


def test_the_end_of_main_is_the_end_of_the_process(device: DeviceRig, source: int) -> None:
    device.channel.close()
    assert device.wait_for_end() == STATUS_MAIN_GONE


def test_the_end_of_main_while_running(ready: DeviceRig) -> None:
    run(ready)
    ready.queues[0].run(50, 4, HANGS_AFTER_S)
    ready.channel.close()
    assert ready.wait_for_end() == STATUS_MAIN_GONE


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("SET_FEATURES", {"features": 1}, "MainsMistakeError: features 0x1 of 0x130000000"),
        ("SET_VRING_NUM", {"index": 1, "num": 8}, "MainsMistakeError: SET_VRING_NUM of queue 1 of 1"),
        ("SET_VRING_ENABLE", {"index": 3, "enable": False}, "SET_VRING_ENABLE of queue 3 of 1"),
        ("SET_CONFIG", {"offset": 0, "data": b"x"}, "1 bytes at 0 of a config space that can't be written"),
        ("CONFIGURE", None, "MainsMistakeError: CONFIGURE, again"),
    ],
)
def test_mains_mistakes_end_the_process(
    ready: DeviceRig, source: int, name: str, fields: dict[str, Any] | None, text: str
) -> None:
    if fields is None:
        ready.configure(NO_LIMIT, (source,))
    else:
        ready.send(name, **fields)
    assert text in reason_of_failure(ready)


def test_a_running_queue_is_not_moved(ready: DeviceRig) -> None:
    run(ready)
    ready.send("SET_VRING_NUM", index=0, num=8)
    assert "SET_VRING_NUM of queue 0, which runs" in reason_of_failure(ready)


def test_configure_comes_first(device: DeviceRig) -> None:
    device.send("QUIESCE")
    assert "QUIESCE before CONFIGURE" in reason_of_failure(device)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"backends": 2}, "2 back ends, 1 queues and inflight=False need 5"),
        ({"queues": 2}, "CONFIGURE with 4 descriptors"),
        ({"inflight": True}, "inflight=True"),
        ({"memory": []}, ""),
        (
            {"memory": [{"gpa": 0, "size": 8 << 20, "offset": 0, "writable": True}]},
            "guest memory at 0x0, 8388608 bytes: Invalid argument",
        ),
        (
            {"memory": [{"gpa": 0, "size": 4096, "offset": 0, "writable": True}] * 2},
            "guest memory at 0x0, 4096 bytes: File exists",
        ),
        ({"version": 2}, "CONFIGURE.version: 2; allowed is an integer from 1 to 1"),
        ({"config": {"max_bytes": 1}}, "CONFIGURE.config: period_ms is missing"),
    ],
)
def test_a_configure_that_cannot_be(
    device: DeviceRig, source: int, changes: dict[str, Any], text: str
) -> None:
    device.configure(NO_LIMIT, (source,), **changes)
    if not text:  # a VM without memory for this device: nothing to serve, but no mistake
        device.expect("READY")
        return
    assert text in reason_of_failure(device)


def test_what_is_no_message_ends_the_process(ready: DeviceRig) -> None:
    packet = msgpack.packb({"m": "PLEASE", "i": 0, "f": {}})
    os.write(ready.channel.fileno(), packet)
    assert "MalformedError: main: unknown message 'PLEASE'" in reason_of_failure(ready)


def test_descriptors_after_ready_are_dropped(ready: DeviceRig) -> None:
    before = set(os.listdir(f"/proc/{ready.pid}/fd"))
    ready.channel.send(Message("GET_METRICS", {}, 9, (0, 1, 2)))
    assert ready.next_message().name == "METRICS"
    assert set(os.listdir(f"/proc/{ready.pid}/fd")) == before


def test_python_calls_are_counted_and_none_is_made_for_requests(ready: DeviceRig) -> None:
    run(ready)
    queue, page = ready.queues[0], ready.black_box.page
    queue.run(10, 2, HANGS_AFTER_S)
    before = page.python_calls
    queue.run(1000, 16, HANGS_AFTER_S)
    assert page.python_calls == before
    queue.offer(64)  # a mistake is Python's to tell
    ready.expect("NEEDS_RESET")
    assert page.python_calls == before + 1
