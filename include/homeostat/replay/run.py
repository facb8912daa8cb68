"""Send rows over HTTP in their order, as live traffic, followed by their labels.

Worker threads have one connection each and send one request at a time; the calling thread collects the
results and posts labels. Nothing is retried: a request without a 200 response counts as failed.
"""

from __future__ import annotations

import functools
import http.client
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from urllib.parse import quote

import orjson
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError
from homeostat.config.label_text import label_text
from homeostat.replay.connection import Connection, error_message
from homeostat.replay.labels import LabelSender
from homeostat.replay.report import ReplayReport, RowResult, summarise
from homeostat.replay.requests import ReplayRequest, build_requests

_Done = queue.SimpleQueue[Sequence[RowResult] | BaseException | None]


def replay(  # noqa: PLR0913  # independent options, all keyword-only
    rows: pd.DataFrame | Iterable[pd.DataFrame],
    config: ModelConfig,
    gateway: str,
    *,
    rate: float | None = None,
    concurrency: int = 8,
    batch: int = 1,
    label_delay: timedelta | None = None,
    timeout: float = 10.0,
    run: str = "",
    token: str = "",
    on_progress: Callable[[int], None] | None = None,
    on_result: Callable[[RowResult], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplayReport:
    """Send rows to a gateway, then the labels in the rows.

    Parameters
    ----------
    rows
        A frame, or several in order, with the timestamp and feature columns of the model. The label column is
        not sent with the features: a value in it becomes a label, known ``label_delay`` (default: the model's
        own) after the row. A label is posted once the replay has reached that time; the last ones at the end.
    gateway
        The gateway's URL, such as ``http://127.0.0.1:8000``.
    rate
        Rows per second; None: unlimited.
    batch
        Rows per request.
    timeout
        Seconds until a request without a response counts as failed.
    run
        Salt of the request ids. They are digests of the rows, so that a second replay of the same rows has
        the same ids; another ``run`` gives new ones.
    token
        For gateways that require one; it must grant ``predict`` and ``label``.
    on_progress, on_result
        Called in the calling thread: with the number of rows done so far, and with each result.
    stop
        When set, the replay ends after the requests in flight.

    Raises
    ------
    DataError
        The timestamp column, or every feature column, is missing; or a row has no time.
    ConfigError
        The URL is invalid, or an option is out of range.
    """
    if concurrency < 1 or batch < 1 or (rate is not None and not rate > 0):
        msg = f"replay: rate {rate}, concurrency {concurrency}, batch {batch}: each must be greater than 0"
        raise ConfigError(msg)
    connect = functools.partial(Connection, gateway, timeout, token)
    connect()  # raises for a wrong URL before anything is sent
    stop = stop or threading.Event()
    source = _Source(build_requests(rows, config, batch, run), rate, stop)
    done: _Done = queue.SimpleQueue()
    path, classes = f"/models/{quote(config.name)}/invocations", config.task == "classification"
    workers = [
        threading.Thread(target=_work, args=(source, connect(), path, classes, done), daemon=True)
        for _ in range(concurrency)
    ]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    delay = config.columns.label.delay if label_delay is None else label_delay
    labels = LabelSender(connect(), f"/models/{quote(config.name)}/labels", delay)
    results: list[RowResult] = []
    try:
        for some in _collect(done, len(workers)):
            for result in some:
                results.append(result)
                labels.add(result)
                if on_result is not None:
                    on_result(result)
            if on_progress is not None:
                on_progress(len(results))
        labels.finish()
    finally:
        source.close()
        for worker in workers:
            worker.join()
    return summarise(
        results,
        regression=not classes,
        labels=labels.sent,
        labels_failed=labels.failed,
        label_problems=labels.problems,
        seconds=time.monotonic() - began,
        stopped=stop.is_set(),
    )


class _Source:
    """Gives requests in order to any number of threads, at most ``rate`` rows per second."""

    def __init__(self, requests: Iterator[ReplayRequest], rate: float | None, stop: threading.Event) -> None:
        self._requests, self._rate, self._stop = requests, rate, stop
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._rows = 0
        self._began = time.monotonic()

    def take(self) -> ReplayRequest | None:
        """Wait until the next request is due; None when there is none, or the replay stops."""
        with self._lock:
            request = None if self._ended else next(self._requests, None)
            if request is None:
                return None
            due = self._began + (self._rows / self._rate if self._rate else 0.0)
            self._rows += len(request.times)
        while (wait := due - time.monotonic()) > 0:
            if self._ended:
                return None
            time.sleep(min(wait, 0.05))
        return request

    def close(self) -> None:
        """Give out no more requests."""
        self._closed.set()

    @property
    def _ended(self) -> bool:
        return self._stop.is_set() or self._closed.is_set()


def _work(
    source: _Source,
    connection: Connection,
    path: str,
    classes: bool,  # noqa: FBT001  # a thread's positional arguments
    done: _Done,
) -> None:
    try:
        while (request := source.take()) is not None:
            done.put(_send(connection, path, request, classes=classes))
    except BaseException as error:  # noqa: BLE001  # raised again in the calling thread
        done.put(error)
    finally:
        connection.close()
        done.put(None)


def _send(connection: Connection, path: str, request: ReplayRequest, *, classes: bool) -> list[RowResult]:
    began = time.perf_counter()
    try:
        status, headers, content = connection.post(path, request.body, {"X-Request-Id": request.id})
        predictions = orjson.loads(content)["predictions"] if status == 200 else []
        problem = "" if status == 200 else f"status {status}: {error_message(content)}"
        if not problem and len(predictions) != len(request.times):
            problem = f"{len(predictions)} predictions for {len(request.times)} rows"
    except (OSError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
    except (ValueError, KeyError, TypeError):
        problem = "status 200, but not a response in MLflow's protocol"
    wall, latency = time.time(), (time.perf_counter() - began) * 1000
    ids = (
        [request.id] if len(request.times) == 1 else [f"{request.id}-{i}" for i in range(len(request.times))]
    )
    rows = zip(ids, request.times, request.labels, strict=True)
    if problem:
        return [
            RowResult(i, at, wall, latency, ok=False, label=label, problem=problem) for i, at, label in rows
        ]
    return [
        RowResult(
            i,
            at,
            wall,
            latency,
            ok=True,
            version=headers.get("X-Homeostat-Version", ""),
            variant=headers.get("X-Homeostat-Variant", ""),
            fell_back_from=headers.get("X-Homeostat-Fell-Back-From", ""),
            prediction=prediction,
            label=label,
            right=label_text(prediction) == label_text(label) if classes and label is not None else None,
        )
        for (i, at, label), prediction in zip(rows, predictions, strict=True)
    ]


def _collect(done: _Done, workers: int) -> Iterator[Sequence[RowResult]]:
    while workers:
        item = done.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            workers -= 1
        else:
            yield item
