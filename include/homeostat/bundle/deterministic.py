"""The same fitted pipeline as the same bytes, in whichever process it was fitted.

skops numbers objects by their address in memory, names arrays after those numbers, and stamps every member
of its archive with the time: two processes that fit the very same trees write two different files. Numbered
in the order in which they are met, and without the time, equal pipelines are equal bytes and have one digest.

What still differs was fitted differently: a pipeline without ``random_state``; sums that several threads
share (HistGradientBoosting, BLAS), whose last bits depend on how many threads there are; other versions of
the libraries; and a Python ``set`` of texts, whose order Python draws anew for each process.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

_SCHEMA = "schema.json"


def canonical(data: bytes) -> bytes:
    """Rewrite a skops file that was written a moment ago; what it loads to does not change.

    Parameters
    ----------
    data
        Bytes as ``skops.io.dumps`` gives them: our own, not a stranger's.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        names = _renumber(schema, set(archive.namelist()))
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as written:
            for before, now in names.items():
                written.writestr(zipfile.ZipInfo(now), archive.read(before))
            written.writestr(zipfile.ZipInfo(_SCHEMA), json.dumps(schema, indent=2))
    return out.getvalue()


def _renumber(schema: dict[str, Any], members: set[str]) -> dict[str, str]:
    """Number objects and files from 1, in place; returns each file's new name by its old one."""
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            # In a user's own dictionary, these keys hold a node and not a number or a name.
            if isinstance(node.get("__id__"), int):
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if isinstance(node.get("file"), str) and node["file"] in members:
                ending = node["file"].rpartition(".")[2]
                node["file"] = names.setdefault(node["file"], f"{len(names) + 1}.{ending}")
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(child)

    walk(schema)
    return names
