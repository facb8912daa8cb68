"""What is shown of a gateway is said for all of its workers, whichever of them was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import Unavailable
from homeostat.serving.http.status import describe, health_of
from homeostat.serving.worker_ipc import Part

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

_FLUSH_SECONDS = 20.0


def answers(runtime: Runtime) -> dict[str, Callable[[], Any]]:
    """What a worker tells the others of its gateway, by question."""
    return {
        "ping": lambda: runtime.options.gateway,
        "health": lambda: health_of(runtime),
        "models": lambda: [describe(runtime, state) for state in runtime.states.values()],
        "metrics": lambda: runtime.metrics.render().decode(),
        "flush": runtime.flush,
    }


def health(runtime: Runtime) -> dict[str, Any]:
    """The health of all workers: what troubles several of them is said once, and who does not answer."""
    if runtime.siblings is None:
        return health_of(runtime)
    parts = runtime.siblings.ask_all("health")
    roster = {each["worker"]: each for each in runtime.siblings.roster()}
    troubles: dict[str, list[int]] = {}
    for part in parts:
        for trouble in part.said["troubles"] if part.said is not None else [part.why]:
            troubles.setdefault(trouble, []).append(part.worker)
    heard = [part for part in parts if part.said is not None]
    return {
        "status": "degraded" if troubles else "ok",
        "troubles": [_said_by(trouble, who, len(heard)) for trouble, who in troubles.items()],
        "without_champion": _union(part.said["without_champion"] for part in heard),
        "workers": [
            {
                "worker": part.worker,
                "answers": part.said is not None,
                "pid": roster.get(part.worker, {}).get("pid"),
                "restarts": roster.get(part.worker, {}).get("restarts", 0),
            }
            for part in parts
        ],
    }


def models(runtime: Runtime, only: str = "") -> list[dict[str, Any]]:
    """Every model (or one): traffic as the asked worker knows it, counters and troubles of all."""
    states = [state for name, state in runtime.states.items() if only in ("", name)]
    mine = [describe(runtime, state) for state in states]
    if runtime.siblings is None:
        return mine
    parts = [part.said for part in runtime.siblings.ask_all("models") if part.said is not None]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for said in parts:
        for model in said:
            by_name.setdefault(model["name"], []).append(model)
    return [_merged(own, by_name.get(own["name"], [own])) for own in mine]


def metrics(runtime: Runtime) -> bytes:
    """The exposition text; with several workers each sample says which one by the label ``worker``."""
    siblings = runtime.siblings
    if siblings is None:
        return runtime.metrics.render()
    parts = siblings.ask_all("metrics")
    up = {part.worker: float(part.said is not None) for part in parts}
    restarts = {each["worker"]: float(each["restarts"]) for each in siblings.roster()}
    return b"".join(
        [
            add_up({str(part.worker): part.said for part in parts if part.said is not None}).encode(),
            _family("homeostat_worker_up", "gauge", "1 for a worker that answers.", "", up),
            _family(
                "homeostat_worker_restarts",
                "counter",
                "How often a worker had to be started again.",
                "_total",
                restarts,
            ),
        ]
    )


def flush(runtime: Runtime) -> dict[str, Any]:
    """Have every worker write its buffers; the counts of all.

    Raises
    ------
    Unavailable
        The store does not answer one of them, or one of them does not answer: its rows are kept.
    """
    if runtime.siblings is None:
        return runtime.flush()
    parts = runtime.siblings.ask_all("flush", _FLUSH_SECONDS)
    silent = [part.why for part in parts if part.said is None]
    if silent:
        raise Unavailable("; ".join(dict.fromkeys(silent)))
    return _sum_of_flushes(parts)


def _sum_of_flushes(parts: list[Part]) -> dict[str, Any]:
    out: dict[str, dict[str, Any]] = {}
    for part in parts:
        for log, counts in part.said.items():
            into = out.setdefault(log, {})
            for name, value in counts.items():
                adds = isinstance(value, (int, float))
                into[name] = into.get(name, 0) + value if adds else into.get(name) or value
    return dict(out)


def _merged(own: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    out = dict(own)
    out["counters"] = {name: sum(part["counters"].get(name, 0) for part in parts) for name in own["counters"]}
    out["ready"] = all(part["ready"] for part in parts)
    out["stand_in"] = next((part["stand_in"] for part in parts if part["stand_in"]), None)
    out["load_errors"] = {k: v for part in parts for k, v in part["load_errors"].items()}
    out["checks"] = own["checks"] or next((part["checks"] for part in parts if part["checks"]), [])
    shadows = [part["shadow"] for part in parts if part["shadow"] is not None]
    out["shadow"] = (
        {
            "waiting_rows": sum(each["waiting_rows"] for each in shadows),
            "ready": all(each["ready"] for each in shadows),
        }
        if shadows
        else None
    )
    return out


def _said_by(trouble: str, who: list[int], heard: int) -> str:
    if len(who) >= heard or trouble.startswith("worker "):
        return trouble
    return f"worker {', '.join(map(str, who))}: {trouble}"


def _union(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(each for found in lists for each in found))


def add_up(texts: Mapping[str, str]) -> str:
    """Several expositions as one: each family once, each sample with the label ``worker``.

    The format wants a family's samples together, behind its HELP and TYPE
    (https://prometheus.io/docs/instrumenting/exposition_formats/).
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, kind, family, *_ = line.split(" ", 3)
                head = heads.setdefault(family, [])
                if not any(known.startswith(f"# {kind} ") for known in head):
                    head.append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, worker))
    return "".join("\n".join([*head, *samples.get(family, [])]) + "\n" for family, head in heads.items())


def _labelled(sample: str, worker: str) -> str:
    """``a{b="c"} 1`` as ``a{worker="0",b="c"} 1``: a name holds neither a brace nor a space."""
    brace, space = sample.find("{"), sample.find(" ")
    if 0 <= brace < space:
        return f'{sample[:brace]}{{worker="{worker}",{sample[brace + 1 :]}'
    return f'{sample[:space]}{{worker="{worker}"}}{sample[space:]}'


def _family(name: str, kind: str, text: str, ending: str, values: Mapping[int, float]) -> bytes:
    lines = [f"# HELP {name}{ending} {text}", f"# TYPE {name}{ending} {kind}"]
    lines += [f'{name}{ending}{{worker="{worker}"}} {value}' for worker, value in values.items()]
    return ("\n".join(lines) + "\n").encode()
