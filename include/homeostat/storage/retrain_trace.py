"""The trace of one retrain: its context beside the results of its steps, a span for each step, and the whole.

    retrain/<model>/<run_key>/trace.json

The context is stored, not derived from the run, because the trace id is Airflow's where Airflow started the
retrain, and whether the trace is recorded is decided once. Nothing here stops a retrain.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from homeostat.config.errors import AlreadyExists, HomeostatError, StaleRevision, Superseded, Unavailable
from homeostat.config.redaction import secret_redactor
from homeostat.ports import Ports, Store
from homeostat.storage.step_results import find_result, result_key
from homeostat.tracing import Attribute, Span, Tracer, logged_trace, trace_id

logger = logging.getLogger(__name__)

_STEP = "trace"
#: Characters of a sentence in an attribute.
_MAX_TEXT = 500

Record = Callable[[Mapping[str, Any]], None]


def retrain_traceparent(ports: Ports, model: str, run_key: str) -> str:
    """Return the trace context of a retrain; "" where none is recorded or traces are off here."""
    if ports.tracer is None:
        return ""
    try:
        found = find_result(ports.store, model, run_key, _STEP) or {}
    except (HomeostatError, ValueError) as error:
        logger.warning("%s: the retrain's trace cannot be read: %s", model, error)
        return ""
    return str(found.get("traceparent", ""))


@contextmanager
def traced_step(ports: Ports, model: str, run_key: str, step: str) -> Iterator[Record]:
    """Record the block as a span of the retrain's trace, which the first step begins.

    Yields a function that takes the step's result: its version and verdict become attributes.
    """
    tracer = ports.tracer
    own = "" if tracer is None else _begin(tracer, ports.store, model, run_key)
    if tracer is None or not own:
        yield lambda _: None
        return
    incoming = tracer.incoming.traceparent if tracer.incoming.traced else ""
    inside = bool(incoming) and trace_id(incoming) == trace_id(own)
    span = tracer.start(
        f"retrain.{step}",
        parent=incoming if inside else own,
        links=() if inside else (incoming,),
        attributes={"homeostat.model": model, "homeostat.run_key": run_key, "homeostat.step": step},
    )
    try:
        with logged_trace(own):
            yield lambda result: span.set(_attributes(result))
    except Superseded as error:
        span.set({"homeostat.verdict": "superseded", "homeostat.sentence": _text(str(error))})
        raise
    except Exception as error:
        _fail(span, error)
        raise
    finally:
        span.end()


def end_trace(ports: Ports, model: str, run_key: str, outcome: Mapping[str, Any]) -> None:
    """Send the span of the whole retrain, once: the parent of its steps and of its rollout."""
    tracer = ports.tracer
    if tracer is None:
        return
    try:
        found = find_result(ports.store, model, run_key, _STEP)
        if found is None or found.get("ended"):
            return
        _write(ports.store, model, run_key, {**found, "ended": True}, overwrite=True)
    except (HomeostatError, ValueError) as error:
        logger.warning("%s: the end of the retrain's trace was not recorded: %s", model, error)
        return
    tracer.emit(
        "retrain",
        int(found["began_ns"]),
        time.time_ns(),
        own=str(found["traceparent"]),
        parent=str(found["parent"]),
        attributes={
            "homeostat.model": model,
            "homeostat.run_key": run_key,
            "homeostat.stage": str(outcome.get("stage", "")),
            **_attributes(outcome),
        },
        error=_text(outcome.get("sentence", "")) if outcome.get("outcome") == "failed" else "",
    )


def _begin(tracer: Tracer, store: Store, model: str, run_key: str) -> str:
    """Return the context of this retrain's trace, and store it the first time."""
    try:
        found = find_result(store, model, run_key, _STEP)
        if found is None:
            incoming = tracer.incoming
            found = {
                "traceparent": tracer.decide(incoming),
                "parent": incoming.traceparent if incoming.traced else "",
                "began_ns": time.time_ns(),
            }
            _write(store, model, run_key, found)
            logger.info(
                "%s: the trace id of retrain %s is %s", model, run_key, trace_id(found["traceparent"])
            )
    except AlreadyExists:  # another try of this step was first
        return str((find_result(store, model, run_key, _STEP) or {}).get("traceparent", ""))
    except (HomeostatError, ValueError) as error:
        logger.warning("%s: this step of the retrain is not traced: %s", model, error)
        return ""
    return str(found.get("traceparent", ""))


def _write(
    store: Store, model: str, run_key: str, found: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    store.put(result_key(model, run_key, _STEP), json.dumps(found).encode(), overwrite=overwrite)


def _attributes(result: Mapping[str, Any]) -> dict[str, Attribute]:
    found = {
        "homeostat.version": str(result.get("version") or ""),
        "homeostat.verdict": _verdict(result),
        "homeostat.sentence": _text(result.get("sentence") or ""),
    }
    return {name: value for name, value in found.items() if value}


def _verdict(result: Mapping[str, Any]) -> str:
    if result.get("outcome"):
        return str(result["outcome"])
    if "proceeds" not in result:
        return ""
    return "forced" if result.get("forced") else "passed" if result["proceeds"] else "refused"


def _fail(span: Span, error: Exception) -> None:
    span.set({"error.type": type(error).__name__})
    retried = isinstance(error, (Unavailable, StaleRevision))
    span.set({"homeostat.verdict": "retried" if retried else "failed"})
    span.fail(_text(str(error)))


def _text(text: str) -> str:
    return secret_redactor()(text)[:_MAX_TEXT]
