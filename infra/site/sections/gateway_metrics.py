"""Every metric that a gateway exposes, from its registry, and those of its workers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from example_gateway import runtime
from md_tables import table

from homeostat.serving.http import aggregate
from homeostat.serving.verdict_metrics import VerdictMetrics


def section() -> str:
    """Return a table of names, kinds, labels and meanings."""
    return table(("metric", "kind", "labels", "meaning"), sorted({*_registered(), *_of_workers()}))


def _registered() -> Iterator[tuple[str, str, str, str]]:
    made = runtime()
    verdicts = VerdictMetrics({}, made.ports)
    for registry in (made.metrics.registry, verdicts.registry):
        for collector in registry._collector_to_names:  # noqa: SLF001  # it has no public list of its metrics
            describe = getattr(collector, "describe", collector.collect)
            for family in describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = getattr(collector, "_labelnames", getattr(family, "_labelnames", ()))
                yield f"`{name}`", family.type, ", ".join(labels), family.documentation


def _of_workers() -> Iterator[tuple[str, str, str, str]]:
    """Yield what the gateway adds about its workers while it answers; it is in no registry."""
    found = re.findall(r'_family\(\s*"(\w+)", "(\w+)", "([^"]+)", "(\w*)"', inspect.getsource(aggregate))
    for name, kind, meaning, suffix in found:
        yield f"`{name}{suffix}`", kind, "worker", meaning
