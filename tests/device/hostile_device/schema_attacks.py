"""What a kind of device may say, made from what its module declares: at its bounds, and beyond them."""

from __future__ import annotations

import re

from ipc.messages import vocabulary_for
from tests.device.hostile_device.attack import METRICS, READY, RUN, Attack
from tests.device.hostile_device.schema_values import extremes, wrong_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_module import DeviceModule
    from ipc.schema import Schema
    from tests.device.hostile_device.hostile_process import HostileProcess

# Which of these a process may say unasked, as often as it likes (but not too often), once it is ready.
UNASKED = ("STATE", "LOG")


def from_device(module: DeviceModule) -> dict[str, Schema]:
    """The schema of each message that main takes from a device of that module."""
    vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
    return vocabulary.from_device


def _says(name: str, fields: Any, *, goes_on: bool = False) -> Any:
    def act(it: HostileProcess) -> None:
        it.send(it.packet(name, 0, fields))
        if not goes_on:
            it.be_silent()

    return act


def _answers(fields: Any) -> Any:
    def act(it: HostileProcess) -> None:
        it.say("METRICS", it.last_request, **fields)

    return act


def _changes_config(byte: bytes) -> Any:
    def act(it: HostileProcess) -> None:
        it.say("CONFIG_CHANGED", config=byte * len(it.thread._device.config_space))

    return act


def _other_features(it: HostileProcess) -> None:
    device = it.thread._device
    it.say("READY", features=device.features ^ 1 << 63, config=bytes(device.config_space))
    it.be_silent()


def _other_config(it: HostileProcess) -> None:
    device = it.thread._device
    it.say("READY", features=device.features, config=bytes(device.config_space) + b"x")
    it.be_silent()


def _certificate(it: HostileProcess) -> None:
    it.say("BIRTH_CERTIFICATE", text=b"fd/0\0/dev/kvm\0" * 1000)
    it.be_silent()


def _says_ready(features: int, config_bytes: int) -> Any:
    def act(it: HostileProcess) -> None:
        it.say("READY", features=features, config=b"\xff" * config_bytes)

    return act


_CAME_BACK = "came back with other features or another config space.*"
# The first process that a device has may say them too, and is believed.
FIRST_LIES = (
    Attack("READY: all features", _says_ready((1 << 64) - 1, 8), when="READY", dies=_CAME_BACK),
    Attack(
        "READY: no features, the largest config space", _says_ready(0, 256), when="READY", dies=_CAME_BACK
    ),
)


def attacks_of(module: DeviceModule, *, all_wrong: bool) -> list[Attack]:
    """The attacks of a hostile process of that module's kind.

    Args:
        module: Its description.
        all_wrong: Each message with each wrong value, which takes a process each; else one of each message.
    """
    attacks = [
        *FIRST_LIES,
        Attack("READY: other features than before", _other_features, when="READY", dies=_CAME_BACK),
        Attack("READY: another config space than before", _other_config, when="READY", dies=_CAME_BACK),
        Attack("a second certificate", _certificate, when="READY",
               dies="sent BIRTH_CERTIFICATE while configured.*"),
        Attack("CONFIG_CHANGED: all ones", _changes_config(b"\xff")),
        Attack("CONFIG_CHANGED: all zeroes", _changes_config(b"\0")),
    ]  # fmt: skip
    for name, schema in from_device(module).items():
        wrong = list(wrong_values(schema))
        for what, value in wrong if all_wrong else wrong[-1:]:
            attacks.append(Attack(
                f"{name}: {what}",
                _says(name, value),
                trigger=RUN,
                dies=rf"sent a malformed message: bad: {re.escape(name)}.*",
            ))  # fmt: skip
        if name in UNASKED:
            attacks += [
                Attack(f"{name}: allowed, number {number}", _says(name, value, goes_on=True))
                for number, value in enumerate(extremes(schema))
            ]
    attacks += [
        Attack(f"METRICS: allowed, number {number}", _answers(value), when="METRICS", trigger=METRICS)
        for number, value in enumerate(extremes(module.metrics_schema))
    ]
    assert all(attack.when in (READY, "READY", "METRICS") for attack in attacks)
    return attacks
