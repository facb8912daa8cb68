"""The shadow process does not delay other work."""

import json
import os
import subprocess
import sys

import pytest

from homeostat.serving.inference.shadow_worker import NICENESS

STEP_BACK = """
import json, os
from homeostat.serving.inference.shadow_worker import _lower_priority
_lower_priority()
print(json.dumps([os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)]))
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has an idle class")
def test_the_shadow_process_has_the_lowest_priority():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", STEP_BACK], env=env, capture_output=True, text=True, check=True
    )
    policy, niceness = json.loads(done.stdout)
    assert policy == os.SCHED_IDLE
    assert niceness >= NICENESS
