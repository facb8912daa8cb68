"""Rows of a file as live traffic: sent over HTTP in their order, with labels that follow later.

Worker threads hold one connection each and send one request at a time; the calling thread collects what they
bring, keeps the counts and posts labels. Nothing is retried: a request that is not answered with 200 has
failed, and is counted so.
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
from homeostat.replay.connection import Connection, said
from homeostat.replay.labels import LabelPost
from homeostat.replay.report import Answer, ReplayReport, summarise
from homeostat.replay.requests import Message, messages

_Done = queue.SimpleQueue[Sequence[Answer] | BaseException | None]


def replay(  # noqa: PLR0913  # one knob each, and all of them by name
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
    on_answer: Callable[[Answer], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplayReport:
    """Send rows through a gateway, then the labels that they carry.

    Parameters
    ----------
    rows
        A frame, or several one after the other, with the timestamp and feature columns of the model. The
        label column is never sent along; where it holds something it becomes a label, known ``label_delay``
        (default: the model's own) after the row. A label is posted once the replay has come to that time,
        the last ones at the end.
    gateway
        Its URL, such as ``http://127.0.0.1:8080``.
    rate
        Rows a second; None is as fast as they are answered.
    batch
        Rows a request.
    timeout
        Seconds until a request without an answer has failed.
    run
        Salt of the request ids. They are made from the row itself, so that a replay of the same rows is
        recognised as such; another ``run`` makes them new ones.
    token
        For gateways that ask for one: it must open ``predict`` and ``label``.
    on_progress, on_answer
        Called in the calling thread: with the rows done so far, and with each answer.
    stop
        Set it, and the replay ends after what is under way.

    Raises
    ------
    DataError
        The timestamp column, or every feature column, is missing; or a row has no time.
    ConfigError
        The URL is not one, or a setting is out of range.
    """
    if concurrency < 1 or batch < 1 or (rate is not None and not rate > 0):
        msg = f"replay: rate {rate}, concurrency {concurrency}, batch {batch}: each must be above 0"
        raise ConfigError(msg)
    connect = functools.partial(Connection, gateway, timeout, token)
    connect()  # a wrong URL is said before anything is sent
    stop = stop or threading.Event()
    source = _Source(messages(rows, config, batch, run), rate, stop)
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
    labels = LabelPost(connect(), f"/models/{quote(config.name)}/labels", delay)
    answers: list[Answer] = []
    try:
        for some in _collect(done, len(workers)):
            for answer in some:
                answers.append(answer)
                labels.add(answer)
                if on_answer is not None:
                    on_answer(answer)
            if on_progress is not None:
                on_progress(len(answers))
        labels.finish()
    finally:
        source.close()
        for worker in workers:
            worker.join()
    return summarise(
        answers,
        regression=not classes,
        labels=labels.sent,
        labels_failed=labels.failed,
        label_problems=labels.problems,
        seconds=time.monotonic() - began,
        stopped=stop.is_set(),
    )


class _Source:
    """Hands out requests in order to any number of threads, no faster than ``rate`` rows a second."""

    def __init__(self, requests: Iterator[Message], rate: float | None, stop: threading.Event) -> None:
        self._requests, self._rate, self._stop = requests, rate, stop
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._rows = 0
        self._began = time.monotonic()

    def take(self) -> Message | None:
        """Wait for the next request's turn; None when there is none, or it is time to stop."""
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
        """Hand out no more."""
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
            done.put(_ask(connection, path, request, classes=classes))
    except BaseException as error:  # noqa: BLE001  # raised again in the calling thread
        done.put(error)
    finally:
        connection.close()
        done.put(None)


def _ask(connection: Connection, path: str, request: Message, *, classes: bool) -> list[Answer]:
    began = time.perf_counter()
    try:
        status, headers, content = connection.post(path, request.body, {"X-Request-Id": request.id})
        predictions = orjson.loads(content)["predictions"] if status == 200 else []
        problem = "" if status == 200 else f"status {status}: {said(content)}"
        if not problem and len(predictions) != len(request.times):
            problem = f"{len(predictions)} predictions for {len(request.times)} rows"
    except (OSError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
    except (ValueError, KeyError, TypeError):
        problem = "status 200, but not an answer in MLflow's protocol"
    wall, latency = time.time(), (time.perf_counter() - began) * 1000
    ids = (
        [request.id] if len(request.times) == 1 else [f"{request.id}-{i}" for i in range(len(request.times))]
    )
    rows = zip(ids, request.times, request.labels, strict=True)
    if problem:
        return [Answer(i, at, wall, latency, ok=False, label=label, problem=problem) for i, at, label in rows]
    return [
        Answer(
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


def _collect(done: _Done, workers: int) -> Iterator[Sequence[Answer]]:
    while workers:
        item = done.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            workers -= 1
        else:
            yield item
