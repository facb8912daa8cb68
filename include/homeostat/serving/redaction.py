"""What an answer may show: no password of a URL, no secret, and no path of this machine."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from homeostat.config import Settings
from homeostat.config.redaction import masker

Clean = Callable[[str], str]


def cleaner(settings: Settings, env: Mapping[str, str] | None = None) -> Clean:
    """Make the function that every sentence of an error or a state goes through.

    Folders of this installation become ``…``: ``…/bundles/ab12/model.skops`` still says which file.
    Paths of the API, such as ``/models/NAME/invocations``, are none of them and stay.
    """
    mask = masker(env)
    roots = "|".join(re.escape(root) for root in _roots(settings))
    pattern = re.compile(rf"(?:{roots})(?=[/\s'\":,;.)]|$)")
    return lambda text: mask(pattern.sub("…", text))


def cleaned(value: Any, clean: Clean) -> Any:
    """Plain JSON with every text in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item, clean) for item in value]
    return value


def _roots(settings: Settings) -> list[str]:
    """Folders that errors may name, longest first."""
    store = settings.store.removeprefix("file://") if settings.store.startswith("file://") else ""
    ledger = settings.ledger.partition(":///")[2] if settings.ledger.startswith("sqlite") else ""
    found = {
        *(settings.home, settings.state, settings.cache, settings.models),
        *(Path(store or settings.state), Path(ledger or settings.state).parent),
        *(Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix), Path.home()),
        Path(__file__).resolve().parents[2],
    }
    either = {path for root in found for path in (root, root.absolute(), root.resolve())}
    named = {str(path) for path in either if path.is_absolute() and len(path.parts) > 1}
    return sorted(named, key=len, reverse=True)
