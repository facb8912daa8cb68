"""The text of a retrain trigger on its queue: the fields of a TriggerMessage as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from homeostat.config.errors import DataError
from homeostat.config.times import parse_utc
from homeostat.ports import TriggerMessage

#: Longer texts are refused: a trigger has a few hundred characters.
MAX_BODY = 8192
_MAX_FIELD = 512
#: Keys that release 0.1 wrote, and their names now.
_OLD_NAMES = {"recall": "reinstate"}
_EXAMPLE = (
    'expected a trigger such as {"model": "pump", "trigger_id": "pump/2026-01-05T07:00:00+00:00", '
    '"window_end": "2026-01-05T07:00:00+00:00", "reason": "sustained_drift", "reinstate": ""}'
)


def encode_trigger(message: TriggerMessage) -> str:
    """Return the text of the queue message; :func:`decode_trigger` reads it."""
    return json.dumps(asdict(message), allow_nan=False)


def decode_trigger(body: str, models: Collection[str]) -> TriggerMessage:
    """Read a trigger; unknown keys are ignored.

    Parameters
    ----------
    body
        The text as received, untrusted.
    models
        The names of this installation's models.

    Raises
    ------
    DataError
        The text is not a trigger for one of these models; the message says why.
    """
    raw = {_OLD_NAMES.get(name, name): value for name, value in _object(body).items()}
    found = {name: _text(raw, name) for name in ("model", "trigger_id", "window_end", "reason")}
    reinstate = _text(raw, "reinstate", empty=True) if raw.get("reinstate") is not None else ""
    model, trigger_id = found["model"], found["trigger_id"]
    if model not in models:
        existing = ", ".join(sorted(models)) or "none"
        msg = f"a trigger for model {_short(model)}, which does not exist here; models: {existing}"
        raise DataError(msg)
    if not trigger_id.removeprefix(f"{model}/") or not trigger_id.startswith(f"{model}/"):
        msg = f"a trigger for model {model!r} with trigger_id {_short(trigger_id)}: expected '{model}/...'"
        raise DataError(msg)
    try:
        parse_utc(found["window_end"])
    except (ValueError, OverflowError):
        end = _short(found["window_end"])
        msg = (
            f"trigger {_short(trigger_id)}: window_end {end} is not a time such as 2026-01-05T07:00:00+00:00"
        )
        raise DataError(msg) from None
    return TriggerMessage(**found, reinstate=reinstate)


def _object(body: str) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        msg = f"a message of {len(body)} characters, more than {MAX_BODY}: {_EXAMPLE}"
        raise DataError(msg)
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        msg = f"a message that is not JSON ({_short(body)}): {_EXAMPLE}"
        raise DataError(msg) from None
    if not isinstance(raw, dict):
        msg = f"a message that is not a JSON object ({_short(body)}): {_EXAMPLE}"
        raise DataError(msg)
    return raw


def _text(raw: dict[str, Any], name: str, *, empty: bool = False) -> str:
    """Return one field as text that is safe in a log, a URL or a database."""
    value = raw.get(name)
    if not isinstance(value, str):
        what = "no" if name not in raw else f"a {type(value).__name__} as"
        msg = f"a trigger with {what} {name!r}: {_EXAMPLE}"
        raise DataError(msg)
    if len(value) > _MAX_FIELD or not value.isprintable() or not (value or empty):
        expected = f"expected {0 if empty else 1} to {_MAX_FIELD} printable characters"
        msg = f"a trigger whose {name!r} is {_short(value)}: {expected}"
        raise DataError(msg)
    return value


def _short(text: str) -> str:
    """Quote an untrusted text for an error message."""
    return ascii(text if len(text) <= 80 else f"{text[:80]}...")
