"""Make the bytes of a fitted pipeline independent of the process that fitted it.

skops numbers objects by their memory address, names arrays after those numbers, and stores the time of every
member of its archive: two processes that fit the same trees write different files. Renumbered in the order of
the file, and without times, equal pipelines have equal bytes and one digest.

Digests still differ for a pipeline without ``random_state``; for sums over several threads
(HistGradientBoosting, BLAS), whose last bits depend on the number of threads; for other library versions; and
for a Python ``set`` of texts, whose order is random in each process.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

_SCHEMA = "schema.json"


def make_deterministic(data: bytes) -> bytes:
    """Rewrite a skops file with stable numbers and without times; it loads to the same estimator.

    Parameters
    ----------
    data
        Bytes from ``skops.io.dumps`` of this process, not from an untrusted file.
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
    """Number objects and files from 1, in place; return each file's new name by its old one."""
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            # In a user's own dictionary, these keys hold a node instead of a number or a name.
            if isinstance(node.get("__id__"), int):
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if isinstance(node.get("file"), str) and node["file"] in members:
                ending = node["file"].rpartition(".")[2]
                node["file"] = names.setdefault(node["file"], f"{len(names) + 1}.{ending}")
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(child)

    walk(schema)
    return names
