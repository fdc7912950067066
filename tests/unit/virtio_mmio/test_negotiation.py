"""What is offered, what is accepted, and when FEATURES_OK doesn't stay."""

from __future__ import annotations

import pytest

from tests.unit.virtio_mmio.driver_rig import (
    ACKNOWLEDGE,
    DRIVER,
    DRIVER_OK,
    FAILED,
    FEATURES_OK,
    OFFERED,
    DriverRig,
)

VERSION_1 = 1 << 32
ALL_ONES = 0xFFFF_FFFF


def test_the_device_offers_what_it_has_in_words_of_32_bits(rig: DriverRig) -> None:
    assert rig.offered() == OFFERED
    for far in (2, 3, 31, 32, 1 << 31, ALL_ONES):
        rig.write(0x14, far)
        assert rig.read(0x10) == 0
    rig.write(0x14, 1)
    assert rig.read(0x10) == 1


def test_what_this_transport_cannot_keep_is_not_offered(rig: DriverRig) -> None:
    rig.device.features = (1 << 64) - 1
    missing = (1 << 64) - 1 & ~rig.offered()
    # virtio 1.2 §6: bits 24 to 49 are for queues and transports; of these indirect descriptors (28), event
    # indices (29), version 1 (32) and order (35) can be kept.
    assert missing == sum(1 << bit for bit in range(24, 50) if bit not in (28, 29, 32, 35))


@pytest.mark.parametrize(
    "accepted",
    [
        0,
        OFFERED & ~VERSION_1,
        OFFERED | 1 << 1,
        OFFERED | 1 << 34,
        OFFERED | 1 << 63,
        (1 << 64) - 1,
    ],
)
def test_features_ok_does_not_stay(rig: DriverRig, accepted: int) -> None:
    rig.write(0x70, ACKNOWLEDGE)
    rig.write(0x70, DRIVER)
    rig.accept(accepted)
    rig.write(0x70, FEATURES_OK)
    assert rig.status == DRIVER
    rig.write(0x70, DRIVER_OK)
    assert rig.status == DRIVER
    assert rig.device.calls == []
    # It may think again.
    rig.accept(VERSION_1)
    rig.write(0x70, FEATURES_OK)
    assert rig.status == FEATURES_OK


def test_a_bit_that_the_device_offers_but_this_transport_does_not_is_refused(rig: DriverRig) -> None:
    rig.device.features |= 1 << 40  # a reset of one queue
    rig.write(0x70, ACKNOWLEDGE)
    rig.write(0x70, DRIVER)
    rig.accept(OFFERED | 1 << 40)
    rig.write(0x70, FEATURES_OK)
    assert rig.status == DRIVER


@pytest.mark.parametrize("word", [2, 3, ALL_ONES])
def test_features_beyond_64_bits_are_refused_until_the_reset(rig: DriverRig, word: int) -> None:
    for accepted_there, status in ((0, FEATURES_OK), (1, DRIVER), (0, FEATURES_OK)):
        rig.write(0x70, 0)
        rig.write(0x70, ACKNOWLEDGE)
        rig.write(0x70, DRIVER)
        rig.accept(OFFERED)
        rig.write(0x24, word)
        rig.write(0x20, accepted_there)
        rig.write(0x70, FEATURES_OK)
        assert rig.status == status


@pytest.mark.parametrize("accepted", [VERSION_1, VERSION_1 | 1 << 28, OFFERED & ~(1 << 29), OFFERED])
def test_any_valid_subset_is_accepted_and_told_to_the_device(rig: DriverRig, accepted: int) -> None:
    rig.go_live(accepted)
    assert rig.device.accepted == accepted
    # §2.2.2: "it SHOULD NOT fail re-negotiation of the same set of features after a device [...] reset".
    rig.go_live(accepted)
    assert rig.device.accepted == accepted
    assert rig.device.calls == ["activate", "reset", "activate"]


def test_each_word_is_written_by_itself(rig: DriverRig) -> None:
    rig.write(0x70, ACKNOWLEDGE)
    rig.write(0x70, DRIVER)
    rig.accept(OFFERED)
    rig.write(0x24, 0)
    rig.write(0x20, 1 << 5)
    rig.write(0x70, FEATURES_OK)
    rig.write(0x70, DRIVER_OK)
    assert rig.device.accepted == VERSION_1 | 1 << 5


def test_nothing_is_accepted_too_early_or_too_late(rig: DriverRig) -> None:
    rig.accept(1 << 1)
    rig.write(0x70, ACKNOWLEDGE)
    rig.accept(1 << 1)
    rig.write(0x70, DRIVER)
    rig.accept(VERSION_1)
    rig.write(0x70, FEATURES_OK)
    rig.accept(OFFERED)
    rig.write(0x70, DRIVER_OK)
    rig.accept(OFFERED)
    assert rig.device.accepted == VERSION_1


def test_a_driver_that_gave_up_accepts_nothing(rig: DriverRig) -> None:
    rig.write(0x70, DRIVER)
    rig.write(0x70, DRIVER | FAILED)
    rig.accept(OFFERED)
    rig.write(0x70, FEATURES_OK)
    assert rig.status == DRIVER | FAILED


def test_a_reset_forgets_what_was_accepted_and_selected(rig: DriverRig) -> None:
    rig.go_live()
    rig.write(0x14, 1)
    rig.write(0x30, 1)
    rig.write(0x70, 0)
    assert rig.read(0x10) == OFFERED & ALL_ONES
    assert rig.read(0x34) == 256
    rig.write(0x70, ACKNOWLEDGE)
    rig.write(0x70, DRIVER)
    rig.write(0x70, FEATURES_OK)
    assert rig.status == DRIVER, "nothing is accepted any more, version 1 neither"
