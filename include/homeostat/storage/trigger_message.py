"""The text of a retrain trigger on its queue: JSON with model, trigger_id, window_end, reason and recall."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from homeostat.config.errors import DataError
from homeostat.config.times import parse_utc
from homeostat.ports import TriggerMessage

#: A trigger has a few hundred characters: a text of this length is none.
MAX_BODY = 8192
_MAX_FIELD = 512
_FORM = (
    'a trigger reads {"model": "pump", "trigger_id": "pump/2026-01-05T07:00:00+00:00", '
    '"window_end": "2026-01-05T07:00:00+00:00", "reason": "sustained_drift", "recall": ""}'
)


def body_of(message: TriggerMessage) -> str:
    """The text that travels; :func:`message_of` reads it back."""
    return json.dumps(asdict(message), allow_nan=False)


def message_of(body: str, models: Collection[str]) -> TriggerMessage:
    """Read a trigger; unknown keys are passed over.

    Parameters
    ----------
    body
        The text as it was received, from whoever may write to the queue.
    models
        The names of this installation's models.

    Raises
    ------
    DataError
        It is not one: the message says what is wrong with it.
    """
    raw = _object(body)
    found = {name: _text(raw, name) for name in ("model", "trigger_id", "window_end", "reason")}
    recall = _text(raw, "recall", empty=True) if raw.get("recall") is not None else ""
    model, trigger_id = found["model"], found["trigger_id"]
    if model not in models:
        there = ", ".join(sorted(models)) or "none"
        msg = f"a trigger for model {_short(model)}, which this installation has not; there are: {there}"
        raise DataError(msg)
    if not trigger_id.removeprefix(f"{model}/") or not trigger_id.startswith(f"{model}/"):
        msg = (
            f"a trigger for model {model!r} with the trigger_id {_short(trigger_id)}: expected '{model}/...'"
        )
        raise DataError(msg)
    try:
        parse_utc(found["window_end"])
    except (ValueError, OverflowError):
        end = _short(found["window_end"])
        msg = (
            f"trigger {_short(trigger_id)}: window_end {end} is not a time such as 2026-01-05T07:00:00+00:00"
        )
        raise DataError(msg) from None
    return TriggerMessage(**found, recall=recall)


def _object(body: str) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        msg = f"a message of {len(body)} characters, which is no trigger: {_FORM}"
        raise DataError(msg)
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        msg = f"a message that is not JSON ({_short(body)}): {_FORM}"
        raise DataError(msg) from None
    if not isinstance(raw, dict):
        msg = f"a message that is no JSON object ({_short(body)}): {_FORM}"
        raise DataError(msg)
    return raw


def _text(raw: dict[str, Any], name: str, *, empty: bool = False) -> str:
    """One field, as text that may stand in a log, a URL or a database."""
    value = raw.get(name)
    if not isinstance(value, str):
        what = "no" if name not in raw else f"a {type(value).__name__} as"
        msg = f"a trigger with {what} {name!r}: {_FORM}"
        raise DataError(msg)
    if len(value) > _MAX_FIELD or not value.isprintable() or not (value or empty):
        expected = f"expected {0 if empty else 1} to {_MAX_FIELD} printable characters"
        msg = f"a trigger whose {name!r} is {_short(value)}: {expected}"
        raise DataError(msg)
    return value


def _short(text: str) -> str:
    """A text by somebody unknown, for a message of ours."""
    return ascii(text if len(text) <= 80 else f"{text[:80]}...")
