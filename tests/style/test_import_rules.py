"""The imports keep to the rules, and the rules find imports that don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.style.import_rules import violations
from tests.style.source_tree import CHECKOUT, plant, project_files

# A tree as it will be, with nothing against the rules in it.
SOUND = {
    "ipc/__init__.py": "",
    "ipc/messages.py": "import struct\n",
    "device_procs/__init__.py": "",
    "device_procs/device_module.py": "import ipc.messages\n",
    "device_procs/device_registry.py": "from device_procs.virtio_blk import module\n",
    "device_procs/virtio_blk/__init__.py": "",
    "device_procs/virtio_blk/module.py": "from device_procs.device_module import DeviceModule\n",
    "device_procs/virtio_blk/device.py": "from ipc import messages\nfrom .module import OPTIONS\n",
    "vmm_main/__init__.py": "",
    "vmm_main/start.py": (
        "from device_procs import device_registry\n"
        "import device_procs.virtio_blk.module\n"
        "from ipc.messages import Ready\n"
    ),
    "tests/test_it.py": "import vmm_main.start, device_procs.virtio_blk.device, ipc\n",
    "tools/bulkhead_audit/audit.py": "import ipc.messages\nfrom .report import table\n",
    "tools/bulkhead_audit/report.py": "import json\n",
    "tools/bench.py": "import vmm_main.start, device_procs.virtio_blk.device, ipc\n",
}


def test_the_project_keeps_to_the_import_rules() -> None:
    assert violations(CHECKOUT, project_files()) == []


def test_a_sound_tree_has_no_violation(tmp_path: Path) -> None:
    assert violations(tmp_path, plant(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ipc/messages.py", "import vmm_main"),
        ("ipc/messages.py", "from device_procs.device_module import DeviceModule"),
        ("device_procs/virtio_blk/device.py", "from vmm_main import start"),
        ("device_procs/virtio_blk/device.py", "def f():\n    import vmm_main.start"),
        ("device_procs/zygote/loop.py", "if TYPE_CHECKING:\n    from vmm_main.start import main"),
        ("device_procs/zygote/loop.py", "__import__('vmm_main.start')"),
        ("vmm_main/start.py", "import device_procs.virtio_blk.device"),
        ("vmm_main/start.py", "from device_procs.virtio_blk import device"),
        ("vmm_main/start.py", "from device_procs.virtio_blk.device import Disk"),
        ("vmm_main/start.py", "from device_procs import virtio_blk"),
        ("vmm_main/start.py", "import importlib\nimportlib.import_module('device_procs.virtio_blk.device')"),
        ("vmm_main/start.py", "from ..device_procs.virtio_blk import device"),
        ("vmm_main/start.py", "import tools.bench"),
        ("tools/bulkhead_audit/audit.py", "from tools.bench import main"),
        ("tools/bulkhead_audit/audit.py", "from ..bench import main"),
        ("tools/bulkhead_audit/audit.py", "from tools.bulkhead_audit.report import table"),
        ("tools/bulkhead_audit/audit.py", "import tests.conftest"),
        ("vmm_main/start.py", "from tests import test_it"),
        ("device_procs/virtio_blk/module.py", "from . import device"),
        ("device_procs/device_registry.py", "import device_procs.virtio_blk.device"),
        ("device_procs/device_module.py", "import device_procs.virtio_blk.device"),
    ],
)
def test_an_import_against_the_rules_is_found(tmp_path: Path, path: str, source: str) -> None:
    found = violations(tmp_path, plant(tmp_path, {**SOUND, path: source + "\n"}))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")
