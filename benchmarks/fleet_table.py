"""The tables of the simulation's figures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from fleet_measure import RESERVE, fits, hourly_limit, needs, per_day, percentile

if TYPE_CHECKING:
    from fleet import Measured

KB, GB = 1024, 1024**3
PARTS = ("tasks", "scheduler", "api-server", "mlflow", "PostgreSQL", "dag-processor", "triggerer")
#: The sizes of the table of needs.
PLANNED = (20, 50, 200, 500, 1000)
#: The machines of the table of machines, by their cores.
MACHINES = (2, 4, 8, 16)
_READ = """
The time of a check is that of its DAG run, from its start to its end. The scheduler's lag
is the time from scheduled to queued, when the executor has the task. There it waits for one of PARALLELISM
workers until it starts, and waits long, because all checks are due at once. CPU seconds
are of the steady part, from a tenth to nine tenths of the checks, with all that a part keeps busy meanwhile.
Of a size that was stopped, all figures are of the checks that it had until then.
"""
_NEEDS = """
From the column of {base} models. Slots: models * {slot} s / 3600 * {reserve}, where {slot} s is PARALLELISM /
checks per second: on a machine with more cores for each slot it is less. Cores: models * CPU seconds per
check / 3600 * {reserve}; workers run the tasks, the rest is scheduler, api-server, DAG processor, triggerer,
MLflow and PostgreSQL. A day: KB per check * 24 * models.
"""


def lines_of(found: Sequence[Measured], args: Any, load: float) -> list[str]:
    """Return all tables: what was measured, one column for each size, and what follows by arithmetic."""
    others = ", ".join(f"{each.others:.1f}" for each in found)
    machine = (
        f"{os.cpu_count()} cores, load {load:.1f} before the first size; cores that other programs used"
        f" during each: {others}. {found[0].postgres}, LocalExecutor with PARALLELISM={args.parallelism}, the"
        f" other settings of docker-compose.yml; at most {args.minutes:g} minutes for a size. Models of"
        f" `homeostat new` with {args.rows} rows an hour; the store is a folder."
    )
    head = ["models", *(f"{each.models:,}" for each in found)]
    return [
        *_wrapped(machine),
        "",
        "## Measured",
        "",
        *_table(head, [*_times(found), *_cpu(found), *_sizes(found)]),
        "",
        *_wrapped(_READ),
        *_by_arithmetic(found),
    ]


def _times(found: Sequence[Measured]) -> list[list[str]]:
    rows: list[tuple[str, Callable[[Measured], str]]] = [
        ("checks done", lambda m: f"{m.done:,}" + ("" if m.done >= m.models else ", stopped")),
        ("checks failed; tasks tried again", lambda m: f"{m.failed}; {m.retried}"),
        ("retrains that were started beside", lambda m: f"{m.retrains}"),
        ("minutes from the scheduler's start to the last", lambda m: f"{m.lasted / 60:.1f}"),
        ("**checks per second**", lambda m: _steady(m, lambda s: f"**{s.rate:.2f}**")),
        ("cores busy", lambda m: _steady(m, lambda s: f"{s.busy:.1f}")),
        ("models that this rate checks hourly", lambda m: _steady(m, lambda s: f"{hourly_limit(s.rate):,}")),
        ("runs made, s after the scheduler's start", lambda m: _ends([run.made for run in m.runs])),
        ("**scheduler's lag**, s: p50, p95, max", lambda m: _spread([task.lag for task in m.tasks])),
        ("wait for a worker, s: p50, p95, max", lambda m: _spread([task.queued for task in m.tasks])),
        ("task `check`, s: p50, p95, max", lambda m: _spread(m.ran("check"))),
        ("task `trigger_retrain`, s: p50, p95, max", lambda m: _spread(m.ran("trigger_retrain"))),
        ("a check, s: p50, p95, max", lambda m: _spread([run.took for run in m.runs])),
        ("longest gap of the scheduler's heartbeat, s", lambda m: f"{m.heartbeat_gap:.0f}"),
        ("parse of the DAG file, s", lambda m: f"{m.parse:.1f}"),
        ("DAG processor's start to the last DAG in the database, s", lambda m: f"{m.parsed:.0f}"),
        ("versions of DAGs in the database", lambda m: f"{m.dag_versions:,}"),
    ]
    return [[title, *(of(each) for each in found)] for title, of in rows]


def _cpu(found: Sequence[Measured]) -> list[list[str]]:
    rows = [
        [f"CPU s per check: {part}", *(_steady(m, lambda s, p=part: f"{s.cpu.get(p, 0):.2f}") for m in found)]
        for part in PARTS
    ]
    whole = [_steady(m, lambda s: f"**{sum(s.cpu.values()):.2f}**") for m in found]
    idle = [f"{sum(m.idle.values()):.2f}" for m in found]
    return [
        *rows,
        ["**CPU s per check: all**", *whole],
        ["cores busy before the scheduler's start", *idle],
    ]


def _sizes(found: Sequence[Measured]) -> list[list[str]]:
    places = list(found[0].growth)
    return [[f"KB per check: {place}", *(f"{m.growth[place] / KB:.1f}" for m in found)] for place in places]


def _by_arithmetic(found: Sequence[Measured]) -> list[str]:
    """Return what follows from the largest size that has a steady part."""
    base = max((each for each in found if each.steady), key=lambda each: each.models, default=None)
    if base is None or base.steady is None:
        return []
    rows = []
    for models in PLANNED:
        wanted = needs(models, base.slot_seconds, base.steady.cpu)
        cores = [f"{wanted.task_cores:.2f}", f"{wanted.shared_cores:.2f}"]
        day = [f"{per_day(growth, models) / GB:.2f}" for growth in base.growth.values()]
        rows.append([f"{models:,}", f"{models * 24:,}", str(wanted.slots), *cores, *day])
    head = ["models", "checks a day", "slots", "cores of workers", "cores of the rest"]
    text = _NEEDS.format(base=f"{base.models:,}", slot=f"{base.slot_seconds:.1f}", reserve=RESERVE)
    return [
        "",
        "## By arithmetic",
        "",
        *_wrapped(text),
        "",
        *_table([*head, *(f"GB a day: {place}" for place in base.growth)], rows),
        "",
        "Models that one machine checks hourly with everything: cores * 3600 / 1.5 / CPU seconds per check.",
        "",
        *_table(
            ["cores", *map(str, MACHINES)],
            [["models", *(f"{fits(cores, base.steady.cpu):,}" for cores in MACHINES)]],
        ),
    ]


def _steady(m: Measured, shown: Callable[[Any], str]) -> str:
    return shown(m.steady) if m.steady else "too few"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return ", ".join(f"{percentile(known, share):.1f}" for share in (0.5, 0.95, 1.0)) if known else "none"


def _ends(values: Sequence[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}" if values else "none"


def _wrapped(text: str) -> list[str]:
    return wrap(" ".join(text.split()), 140, break_on_hyphens=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, ruler, *rows)]
