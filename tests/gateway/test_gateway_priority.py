"""The shadow's work is nobody else's delay."""

import json
import os
import subprocess
import sys

from homeostat.gateway.rollouts.shadow_process import NICENESS

STEP_BACK = """
import json, os
from homeostat.gateway.rollouts.shadow_process import _step_back
_step_back()
group = "/proc/self/autogroup"
shares = open(group).read() if os.path.exists(group) else None
print(json.dumps([os.getsid(0) == os.getpid(), os.getpriority(os.PRIO_PROCESS, 0), shares]))
"""


def test_a_shadow_has_a_session_and_a_share_of_the_processor_of_its_own():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", STEP_BACK], env=env, capture_output=True, text=True, check=True
    )
    own_session, niceness, shares = json.loads(done.stdout)
    assert own_session
    assert niceness >= NICENESS
    assert not shares or shares.split()[-1] == str(NICENESS), "where there are groups, its group steps back"
