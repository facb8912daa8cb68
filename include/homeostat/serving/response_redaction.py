"""Redaction of what the gateway shows: no password, no secret, and no path of this machine."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeostat.config import Settings
from homeostat.config.redaction import secret_redactor

Redact = Callable[[str], str]


def make_redactor(settings: Settings) -> Redact:
    """Return the function that every error message and state text passes through.

    Folders of this installation become ``…``; ``…/bundles/ab12/model.skops`` still names the file.
    Paths of the API, such as ``/models/NAME/invocations``, stay.
    """
    mask = secret_redactor()
    roots = "|".join(re.escape(root) for root in _roots(settings))
    pattern = re.compile(rf"(?:{roots})(?=[/\s'\":,;.)]|$)")
    return lambda text: mask(pattern.sub("…", text))


def redact_json(value: Any, redact: Redact) -> Any:
    """Return JSON data with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_json(item, redact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_json(item, redact) for item in value]
    return value


def _roots(settings: Settings) -> list[str]:
    """Folders that errors may contain, longest first."""
    store = settings.store.removeprefix("file://") if settings.store.startswith("file://") else ""
    ledger = settings.ledger.partition(":///")[2] if settings.ledger.startswith("sqlite") else ""
    found = {
        *(settings.home, settings.state, settings.cache, settings.models),
        *(Path(store or settings.state), Path(ledger or settings.state).parent),
        *(Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix), Path.home()),
        Path(__file__).resolve().parents[2],
    }
    spellings = {path for root in found for path in (root, root.absolute(), root.resolve())}
    names = {str(path) for path in spellings if path.is_absolute() and len(path.parts) > 1}
    return sorted(names, key=len, reverse=True)
