"""Load the benchmark's simulated traffic, so that tests and benchmark share one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
