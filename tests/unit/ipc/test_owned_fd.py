"""A descriptor with one owner."""

from __future__ import annotations

import os

import pytest

from ipc.owned_fd import OwnedFd, close_all


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


def test_closed_once_and_minus_1_from_then_on() -> None:
    owned = OwnedFd(os.dup(0))
    fd = owned.fd
    states = [owned.is_open]
    owned.close()
    states.append(owned.is_open)
    assert states == [True, False]
    assert not is_open(fd)
    assert repr(owned) == "OwnedFd(-1)"
    again = os.dup(0)  # gets the same number
    owned.close()
    assert is_open(again)
    os.close(again)
    with pytest.raises(ValueError, match="the descriptor is closed"):
        _ = owned.fd


def test_released_to_the_caller() -> None:
    owned = OwnedFd(os.dup(0))
    fd = owned.release()
    owned.close()
    assert is_open(fd)
    os.close(fd)
    with pytest.raises(ValueError, match="closed"):
        owned.release()


def test_all_are_closed_whatever_happens_to_one() -> None:
    first, second = os.dup(0), os.dup(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        close_all([first, 1 << 20, second])
    assert not is_open(first)
    assert not is_open(second)
