"""Why user namespaces are refused, in words a person can act on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from device_procs.zygote.refused_namespaces import why_refused


def settings(root: Path, **values: str) -> str:
    for name, value in values.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n", encoding="ascii")
    return str(root)


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("kernel__unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user__max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel__apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_the_setting_is_named_with_what_allows_it(
    tmp_path: Path, setting: str, value: str, advice: str
) -> None:
    text = why_refused(errno.EPERM, settings(tmp_path, **{setting: value}))
    assert text.startswith("Operation not permitted: ")
    assert advice in text


def test_settings_that_allow_it_are_not_blamed(tmp_path: Path) -> None:
    proc_sys = settings(
        tmp_path,
        kernel__unprivileged_userns_clone="1",
        user__max_user_namespaces="96000",
        kernel__apparmor_restrict_unprivileged_userns="0",
    )
    assert "container" in why_refused(errno.EPERM, proc_sys)
    assert "user.max_*_namespaces" in why_refused(errno.ENOSPC, proc_sys)
    assert why_refused(errno.ENOMEM, proc_sys) == "Cannot allocate memory"


def test_a_kernel_without_the_settings(tmp_path: Path) -> None:
    assert "sysctl" not in why_refused(errno.EPERM, str(tmp_path))
