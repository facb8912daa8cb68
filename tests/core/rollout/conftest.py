"""The simulated traffic is the benchmark's own, so that there is one of it."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

# Not by sys.path: benchmarks/gateway.py would hide the folder tests/gateway.
_SPEC = spec_from_file_location(
    "rollout_world", Path(__file__).resolve().parents[3] / "benchmarks/rollout_world.py"
)
_WORLD = module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _WORLD
_SPEC.loader.exec_module(_WORLD)
