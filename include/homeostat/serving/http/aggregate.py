"""What the gateway reports, over all of its workers, whichever of them received the request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import Unavailable
from homeostat.serving.http.status import health_report, model_status, served_json
from homeostat.serving.worker_ipc import Queries, WorkerReply

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

_FLUSH_SECONDS = 20.0


def worker_queries(runtime: Runtime) -> Queries:
    """Return what a worker reports to the other workers of its gateway."""
    return {
        "ping": lambda: runtime.options.gateway,
        "health": lambda: health_report(runtime),
        "models": lambda: [model_status(runtime, state) for state in runtime.states.values()],
        "metrics": lambda: runtime.metrics.render().decode(),
        "flush": runtime.flush,
    }


def health(runtime: Runtime) -> dict[str, Any]:
    """Return the health of all workers; a problem that several workers report appears once."""
    if runtime.peers is None:
        return health_report(runtime)
    replies = runtime.peers.query_all("health")
    roster = {worker["worker"]: worker for worker in runtime.peers.roster()}
    problems: dict[str, list[int]] = {}
    for reply in replies:
        for problem in reply.value["problems"] if reply.value is not None else [reply.error]:
            problems.setdefault(problem, []).append(reply.worker)
    received = [reply for reply in replies if reply.value is not None]
    return {
        "status": "degraded" if problems else "ok",
        "problems": [_with_workers(problem, who, len(received)) for problem, who in problems.items()],
        "models_without_champion": _union(reply.value["models_without_champion"] for reply in received),
        "workers": [
            {
                "worker": reply.worker,
                "responding": reply.value is not None,
                "pid": roster.get(reply.worker, {}).get("pid"),
                "restarts": roster.get(reply.worker, {}).get("restarts", 0),
            }
            for reply in replies
        ],
    }


def models(runtime: Runtime, only: str = "") -> list[dict[str, Any]]:
    """Return every model (or one): this worker's routing, and the counters and load errors of all workers."""
    states = [state for name, state in runtime.states.items() if only in ("", name)]
    own = [model_status(runtime, state) for state in states]
    if runtime.peers is None:
        return own
    by_name: dict[str, list[dict[str, Any]]] = {}
    for reply in runtime.peers.query_all("models"):
        for model in reply.value or ():
            by_name.setdefault(model["name"], []).append(model)
    return [_merge_statuses(model, by_name.get(model["name"], [model])) for model in own]


def metrics(runtime: Runtime) -> bytes:
    """Return Prometheus' text format; with several workers, each worker's samples have the label ``worker``.

    The verdicts are the same for all workers, so the one that received the request adds them, without it.
    """
    peers = runtime.peers
    if peers is None:
        return runtime.metrics.render() + runtime.verdicts.render()
    replies = peers.query_all("metrics")
    up = {reply.worker: float(reply.value is not None) for reply in replies}
    restarts = {worker["worker"]: float(worker["restarts"]) for worker in peers.roster()}
    texts = {str(reply.worker): reply.value for reply in replies if reply.value is not None}
    return b"".join(
        [
            merge_expositions(texts).encode(),
            _family("homeostat_worker_up", "gauge", "1 for a worker that responds.", "", up),
            _family("homeostat_worker_restarts", "counter", "Restarts of a worker.", "_total", restarts),
            runtime.verdicts.render(),
        ]
    )


def flush(runtime: Runtime) -> dict[str, Any]:
    """Let every worker write its buffers; return the counts over all workers.

    Raises
    ------
    Unavailable
        A worker does not respond, or the store does not respond to it. Its rows are kept.
    """
    if runtime.peers is None:
        return runtime.flush()
    replies = runtime.peers.query_all("flush", _FLUSH_SECONDS)
    errors = [reply.error for reply in replies if reply.value is None]
    if errors:
        raise Unavailable("; ".join(dict.fromkeys(errors)))
    return _sum_of_flushes(replies)


def _sum_of_flushes(replies: list[WorkerReply]) -> dict[str, Any]:
    total: dict[str, dict[str, Any]] = {}
    for reply in replies:
        for log, counts in reply.value.items():
            sums = total.setdefault(log, {})
            for name, value in counts.items():
                is_number = isinstance(value, (int, float))
                sums[name] = sums.get(name, 0) + value if is_number else sums.get(name) or value
    return dict(total)


def _merge_statuses(own: dict[str, Any], all_workers: list[dict[str, Any]]) -> dict[str, Any]:
    merged = dict(own)
    merged["counters"] = {
        name: sum(status["counters"].get(name, 0) for status in all_workers) for name in own["counters"]
    }
    merged["ready"] = all(status["ready"] for status in all_workers)
    merged["on_demand"] = all(status.get("on_demand", False) for status in all_workers)
    merged["fallback"] = next((status["fallback"] for status in all_workers if status["fallback"]), None)
    merged["load_errors"] = {k: v for status in all_workers for k, v in status["load_errors"].items()}
    merged["checks"] = own["checks"] or next(
        (status["checks"] for status in all_workers if status["checks"]), []
    )
    merged["served"] = served_json(merged)
    shadows = [status["shadow"] for status in all_workers if status["shadow"] is not None]
    merged["shadow"] = None
    if shadows:
        merged["shadow"] = {
            "version": shadows[0]["version"],
            "waiting_rows": sum(shadow["waiting_rows"] for shadow in shadows),
            "ready": all(shadow["ready"] for shadow in shadows),
        }
    return merged


def _with_workers(problem: str, workers: list[int], received: int) -> str:
    """Name the workers that report a problem, unless all do or the problem names its worker already."""
    if len(workers) >= received or problem.startswith("worker "):
        return problem
    return f"worker {', '.join(map(str, workers))}: {problem}"


def _union(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(item for each in lists for item in each))


def merge_expositions(texts: Mapping[str, str]) -> str:
    """Merge the workers' metrics: each family once, each sample with the label ``worker``.

    The format requires the samples of a family together, after its HELP and TYPE
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
                samples.setdefault(family, []).append(_with_worker_label(line, worker))
    return "".join("\n".join([*head, *samples.get(family, [])]) + "\n" for family, head in heads.items())


def _with_worker_label(sample: str, worker: str) -> str:
    """``a{b="c"} 1`` as ``a{worker="0",b="c"} 1``; a metric's name contains neither a brace nor a space."""
    brace, space = sample.find("{"), sample.find(" ")
    if 0 <= brace < space:
        return f'{sample[:brace]}{{worker="{worker}",{sample[brace + 1 :]}'
    return f'{sample[:space]}{{worker="{worker}"}}{sample[space:]}'


def _family(name: str, kind: str, text: str, suffix: str, values: Mapping[int, float]) -> bytes:
    lines = [f"# HELP {name}{suffix} {text}", f"# TYPE {name}{suffix} {kind}"]
    lines += [f'{name}{suffix}{{worker="{worker}"}} {value}' for worker, value in values.items()]
    return ("\n".join(lines) + "\n").encode()
