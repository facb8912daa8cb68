"""Homeostat keeps machine-learning models healthy without a person watching them."""

import os

__version__ = "0.2.0"

# OpenMP's threads spin while they wait for each other: where another process wants the same CPUs, a fit of
# half a second takes a minute. This is read when scikit-learn is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
