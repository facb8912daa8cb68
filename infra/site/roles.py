"""A griffe extension: cross-references of docstrings such as ``:meth:`Client.close``` become code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?\.?([^`]+)`")


class PlainRoles(griffe.Extension):
    """Replaces roles, and double backquotes of reStructuredText, in every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See :class:`griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
