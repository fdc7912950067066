"""In a user namespace of its own, in which it sets the limit of user namespaces to 0 once there is a zygote.

Arguments: a lock file; "seccomp" or "no-seccomp". Prints what the zygote answers before and after as JSON.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.device.zygote.born_device import born_device
from tests.device.zygote.zygote_rig import ZygoteRig


def main() -> None:
    rig = ZygoteRig(Path(sys.argv[1]), seccomp=sys.argv[2] == "seccomp")
    with born_device(rig) as before:
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
        with born_device(rig) as after:
            print(json.dumps([before.answer.name, after.answer.name, after.answer.fields]))
    rig.close()


main()
