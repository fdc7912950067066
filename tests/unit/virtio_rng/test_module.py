"""What -device virtio-rng-device and -object rng-random come to."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from device_procs.device_registry import kind_of_driver, module_of
from device_procs.virtio_rng.module import MAX_BYTES_MAX, MODULE, PERIOD_MAX_MS

OBJECTS = {
    "r0": {"qom-type": "rng-random", "id": "r0", "filename": "/dev/urandom"},
    "m0": {"qom-type": "memory-backend-ram", "id": "m0"},
}


def plan(**values: Any) -> dict[str, Any]:
    given = {"rng": "r0", **{name.replace("_", "-"): value for name, value in values.items()}}
    return MODULE.plan(given, OBJECTS).config


def refused(**values: Any) -> str:
    with pytest.raises(ValueError, match=r"=") as caught:
        plan(**values)
    return str(caught.value)


def test_it_is_in_the_registry() -> None:
    assert kind_of_driver("virtio-rng-device") == MODULE.kind
    assert kind_of_driver("Virtio-RNG-Device") == MODULE.kind
    assert module_of(MODULE.kind) is MODULE


def test_no_limit() -> None:
    made = MODULE.plan({"rng": "r0"}, OBJECTS)
    assert made.config == {"max_bytes": 0, "period_ms": 0}
    assert made.queue_sizes == (256,)
    (resource,) = made.resources
    assert (resource.kind, resource.path) == ("character-device", "/dev/urandom")
    assert resource.named == "-object rng-random,id=r0,filename=/dev/urandom"
    MODULE.config_schema.check(made.config, "config")


@pytest.mark.parametrize(
    ("max_bytes", "period"),
    [
        (1234, 1000),
        (64, 1000),
        (1, 15),  # 66.7 a second
        (1_000_000_000, 1000),
        (1_000_000, 1),
        (MAX_BYTES_MAX, PERIOD_MAX_MS),
    ],
)
def test_limits_in_the_contracts_range(max_bytes: int, period: int) -> None:
    config = plan(max_bytes=max_bytes, period=period)
    assert config == {"max_bytes": max_bytes, "period_ms": period}
    MODULE.config_schema.check(config, "config")


@pytest.mark.parametrize(
    ("max_bytes", "period"),
    [
        (63, 1000),
        (1, 16),
        (639, 10000),
        (1_000_000_001, 1000),
        (1_000_001, 1),
    ],
)
def test_limits_out_of_range(max_bytes: int, period: int) -> None:
    error = refused(max_bytes=max_bytes, period=period)
    assert error.startswith(f"max-bytes={max_bytes},period={period}: max-bytes/period*1000 is ")
    assert error.endswith("; allowed are 64 to 1000000000")
    said = error.split(" is ")[1].split()[0]
    assert max_bytes * 1000 / period == pytest.approx(float(said), rel=1e-9)
    assert not 64 <= Fraction(said) <= 1_000_000_000


@pytest.mark.parametrize(
    ("max_bytes", "period", "said"),
    [
        (1_000_000_001, 1000, "1000000001"),
        (63, 1000, "63"),
        (1, 16, "62.5"),
        (639, 10000, "63.9"),
        (1_000_000_000_001, 1_000_000, "1000000000.001"),
    ],
)
def test_what_is_out_of_range_is_told_exactly(max_bytes: int, period: int, said: str) -> None:
    assert f" is {said} bytes" in refused(max_bytes=max_bytes, period=period)


def test_one_key_alone_is_refused_with_what_is_missing() -> None:
    assert refused(period=1000) == "period=1000: max-bytes is missing; a limit needs both, no limit neither"
    assert refused(max_bytes=64) == "max-bytes=64: period is missing; a limit needs both, no limit neither"


@pytest.mark.parametrize("rng", ["nothing", "m0"])
def test_the_source_must_be_an_rng(rng: str) -> None:
    assert refused(rng=rng) == f"rng={rng}: there is no -object rng-random with this id"


def test_the_keys() -> None:
    keys = {key.name: key for key in MODULE.keys}
    assert set(keys) == {"rng", "max-bytes", "period"}
    assert [name for name, key in keys.items() if key.required] == ["rng"]
    (source,) = MODULE.objects
    assert source.name == "rng-random"
    assert [(key.name, key.kind, key.required) for key in source.keys] == [("filename", "path", True)]
