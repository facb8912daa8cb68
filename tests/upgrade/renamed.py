"""What today's release calls by another name than release 0.1, and how the two are compared.

The record in release_0_1/ never changes. Each deliberate rename since is one line here: a key or a word of
the record on the left, its name today on the right. Numbers and decisions have no line: they must be equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

# Keys of JSON objects, by format.
WINDOW_RECORD = {
    "sure": "significant",
    "labelled": "labelled_rows",
    "harm": "impact",
    "short": "below_best",
    "recall": "reinstate",
}
PERFORMANCE_REPORT = {"hurt": "degraded", "short": "below_best"}
#: Keys that release 0.1 did not write.
NEW_IN_REPORTS = frozenset({"reason_code", "metric_title"})
NEW_IN_CHECK_RESULTS = frozenset(
    {"unlogged_labels", "unlearned_windows", "expected_gain", "probes"}
    | {"decayed_slices", "slice_losses"}
    | {"unlearned", "probe_after", "ageing_rate", "ageing_z", "ageing_cusum"}
)
NEW_IN_STATUS = frozenset({"outcome", "stage", "inconclusive"})
NEW_IN_STEP_RESULTS = frozenset(
    {
        *("unloaded_p99_ms", "slowdown", "machine_slowdown", "typical_latency_ms", "divergence", "labels"),
        *("positive", "undefined", "members_ratio", "members", "former", "drop_error", "probe", "pays"),
        *("metric", "score", "slice_errors", "decayed_slices", "slice_losses"),
    }
)
#: Keys that release 0.1 did not write, in any format, and what is read in their place.
NEW_KEYS: dict[str, object] = {
    # the settings of a rollout
    "max_shadow": None,
    "max_step": None,
    "reverse_shadow": 0.0,
    "metric": "",
    "max_regression": 0.0,
    "labels": {"spread": None, "class_shares": {}},
    "rules": 1,
    "skip_step": None,
    "shadow_wait": None,
    "slowdown": 1.0,
    # the request of a retrain
    "imported": None,
    # the record of a window
    "unlogged_labels": None,
    "unlearned": None,
    "probe_after": None,
    "ageing_rate": None,
    "ageing_z": None,
    "ageing_cusum": None,
}
#: Keys that release 0.1 wrote and nothing reads any more.
GONE_KEYS = frozenset({"gain"})
TALLY = {"answers": "rows"}
LOG = {"torn": "unreadable"}
REQUEST = {"recall": "reinstate"}
STEP_RESULT = {
    "judge": "holdout_version",
    "parity": "environment_differences",
    "parity_forced": "environment_forced",
    "goes_on": "proceeds",
}
REFERENCE = {"frames": "edges", "outcomes": "calibration"}
VERSION_INFO = {"judge": "holdout_version"}
SYNC_CURSOR = {"whole_at": "full_sync_at", "newest": "newest_window", "silent": "silence_notified"}
SYNC_RESULT = {"collected": "synced", "mirrored": "aliases", "silent": "checks_stopped"}
# Words.
NOTICE_KINDS = {
    "drift_harmless": "harmless_drift",
    "silent": "checks_stopped",
    "parity_refused": "environment_refused",
    "gate_refused": "refused",
}
#: Texts for people. They may be reworded at any time, so only the numbers in them are compared.
SENTENCES = frozenset({"sentence", "title", "body"})


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a recorded value with its keys as they are called today, at every depth."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return value


def without(value: Any, keys: AbstractSet[str] = SENTENCES) -> Any:
    """Return a value without these keys, at every depth."""
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, list):
        return [without(item, keys) for item in value]
    return value


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Raise AssertionError unless both are equal; floats may differ in their last digits."""
    if isinstance(expected, dict) and isinstance(found, dict):
        expected = {key: item for key, item in expected.items() if key not in GONE_KEYS}
        new = {key: found[key] for key in found.keys() - expected.keys() if key in NEW_KEYS}
        assert sorted(found) == sorted({*expected, *new}), f"keys of {where or 'the whole'}"
        for key, item in {**expected, **{key: NEW_KEYS[key] for key in new}}.items():
            assert_same(found[key], item, f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list | tuple):
        assert len(found) == len(expected), f"length of {where or 'the whole'}"
        for n, item in enumerate(expected):
            assert_same(found[n], item, f"{where}[{n}]")
    elif isinstance(expected, float) and isinstance(found, float):
        assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9), (
            f"{where}: {found} is not {expected}"
        )
    else:
        assert found == expected, where


def numbers(text: str) -> list[str]:
    """Return the numbers in a sentence, in order."""
    return re.findall(r"\d+(?:\.\d+)?", text)
