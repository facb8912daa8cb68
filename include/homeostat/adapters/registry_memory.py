"""In-memory registry for tests; passes the same contract tests as the MLflow adapter."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from homeostat.adapters.bundle_files import FILES, check_digest
from homeostat.adapters.model_uri import check_model_uri
from homeostat.config.errors import NotFound, Unavailable
from homeostat.ports import Clock, OtherModel, Version


@dataclass(slots=True)
class MemoryRun:
    """A training run and everything logged to it."""

    model: str
    key: str
    name: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    status: str = "RUNNING"
    description: str = ""


class MemoryRegistry:
    """Runs, versions and aliases in dictionaries. Set ``down`` to simulate an outage."""

    def __init__(self, clock: Clock) -> None:
        self.down = False
        self.runs: dict[str, MemoryRun] = {}
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.others: dict[str, tuple[OtherModel, dict[str, bytes]]] = {}
        self._clock = clock
        self._versions: dict[str, dict[str, Version]] = {}
        self._aliases: dict[str, dict[str, str]] = {}
        self._numbers: dict[str, itertools.count[int]] = {}
        self._lock = threading.RLock()

    def start_run(self, model: str, run_key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """See :meth:`homeostat.ports.Registry.start_run`."""
        self._raise_if_down()
        with self._lock:
            for run_id, run in self.runs.items():
                if (run.model, run.key) == (model, run_key):
                    run.tags |= tags
                    run.status = "RUNNING"
                    return run_id
            run_id = f"run{len(self.runs) + 1}"
            self.runs[run_id] = MemoryRun(model, run_key, name, dict(tags))
            return run_id

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:
        """See :meth:`homeostat.ports.Registry.log`."""
        run = self._run(run_id)
        for name, value in (params or {}).items():
            if run.params.setdefault(name, str(value)) != str(value):  # as in MLflow, the first value stays
                run.tags[f"homeostat.changed.{name}"] = str(value)
        run.metrics |= {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}
        run.tags |= tags or {}
        run.artifacts |= artifacts or {}

    def log_dataset(self, run_id: str, *, name: str, digest: str, uri: str, context: str, rows: int) -> None:
        """See :meth:`homeostat.ports.Registry.log_dataset`."""
        entry = {"name": name, "digest": digest, "uri": uri, "context": context, "rows": rows}
        datasets = self._run(run_id).datasets
        if entry not in datasets:
            datasets.append(entry)

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        """See :meth:`homeostat.ports.Registry.end_run`."""
        self._run(run_id).status = status

    def register(
        self, model: str, run_key: str, run_id: str, bundle: Path, digest: str, tags: Mapping[str, str]
    ) -> Version:
        """See :meth:`homeostat.ports.Registry.register`."""
        self._raise_if_down()
        check_digest(bundle, digest, f"bundle {bundle} of {model}")
        with self._lock:
            versions = self._versions.setdefault(model, {})
            for version in versions.values():
                if version.tags.get("homeostat.run_key") == run_key:
                    return version
            number = str(next(self._numbers.setdefault(model, itertools.count(1))))
            own = {"homeostat.run_key": run_key, "homeostat.digest": digest}
            versions[number] = Version(model, number, digest, run_id, {**tags, **own}, self._clock.now())
            self.files[model, number] = {name: (bundle / name).read_bytes() for name in FILES}
            return versions[number]

    def versions(self, model: str) -> Sequence[Version]:
        """See :meth:`homeostat.ports.Registry.versions`."""
        self._raise_if_down()
        return sorted(self._versions.get(model, {}).values(), key=lambda version: int(version.version))

    def version(self, model: str, version: str) -> Version:
        """See :meth:`homeostat.ports.Registry.version`."""
        self._raise_if_down()
        try:
            return self._versions[model][version]
        except KeyError:
            msg = f"{model} has no version {version}: it was deleted or never registered"
            raise NotFound(msg) from None

    def fetch(self, version: Version, folder: Path) -> Path:
        """See :meth:`homeostat.ports.Registry.fetch`."""
        self.version(version.model, version.version)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in self.files[version.model, version.version].items():
                (folder / name).write_bytes(data)
            check_digest(folder, version.digest, f"{version.model} version {version.version}")
        except BaseException:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
            raise
        return folder

    def find_model(self, uri: str) -> OtherModel:
        """See :meth:`homeostat.ports.Registry.find_model`; knows the models in :attr:`others`."""
        self._raise_if_down()
        check_model_uri(uri)
        try:
            return self.others[uri][0]
        except KeyError:
            msg = f"there is no model {uri}"
            raise NotFound(msg) from None

    def fetch_model(self, model: OtherModel, folder: Path) -> None:
        """See :meth:`homeostat.ports.Registry.fetch_model`."""
        self._raise_if_down()
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.others[model.uri][1].items():
            (folder / name).write_bytes(data)

    def aliases(self, model: str) -> dict[str, str]:
        """See :meth:`homeostat.ports.Registry.aliases`."""
        self._raise_if_down()
        return dict(self._aliases.get(model, {}))

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """See :meth:`homeostat.ports.Registry.set_alias`."""
        self._raise_if_down()
        if version is None:
            self._aliases.get(model, {}).pop(alias, None)
        else:
            self._aliases.setdefault(model, {})[alias] = self.version(model, version).version

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """See :meth:`homeostat.ports.Registry.tag`."""
        with self._lock:
            old = self.version(model, version)
            self._versions[model][version] = replace(old, tags={**old.tags, **tags})

    def describe(
        self,
        text: str,
        *,
        run_id: str | None = None,
        name: str = "",
        model: str | None = None,
        version: str | None = None,
    ) -> None:
        """See :meth:`homeostat.ports.Registry.describe`."""
        if run_id is not None:
            run = self._run(run_id)
            run.description, run.name = text, name or run.name
        if model is not None and version is not None:
            with self._lock:
                self._versions[model][version] = replace(self.version(model, version), description=text)

    def delete(self, model: str, version: str) -> None:
        """Delete a version and its aliases, as a deletion in MLflow's UI does."""
        with self._lock:
            self._versions[model].pop(version)
            aliases = self._aliases.get(model, {})
            self._aliases[model] = {name: at for name, at in aliases.items() if at != version}

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """See :meth:`homeostat.ports.Registry.url`."""
        parts = [part for part in ("runs" if run_id else "models", run_id or model, version) if part]
        return "memory://registry/" + "/".join(parts)

    def _run(self, run_id: str) -> MemoryRun:
        self._raise_if_down()
        try:
            return self.runs[run_id]
        except KeyError:
            msg = f"no run {run_id}: it was deleted or never started"
            raise NotFound(msg) from None

    def _raise_if_down(self) -> None:
        if self.down:
            raise Unavailable("the in-memory registry is set to be down")
