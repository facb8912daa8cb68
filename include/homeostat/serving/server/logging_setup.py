"""Logging to standard error: one line per message, without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from homeostat.config.redaction import secret_redactor
from homeostat.serving.auth.rate_limit import TokenBucket
from homeostat.tracing import logged_traceparent, trace_id

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_uncaught = logging.getLogger("homeostat.uncaught")

# A line break or an escape sequence in what a client sent must not forge a log line.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class OneLineFormatter(logging.Formatter):
    """Escapes control characters in messages; masks secrets in messages and tracebacks."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._mask = mask

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Return the record's line without its traceback, and the trace that it belongs to."""
        line = super().formatMessage(record).translate(_CONTROL)
        trace = logged_traceparent()
        return f"{line} trace_id={trace_id(trace)}" if trace else line

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and its traceback."""
        return self._mask(super().format(record))


class WarningRateFilter(logging.Filter):
    """Limits warnings, which every malformed request causes: 20 at once, then one a second."""

    def __init__(self) -> None:
        super().__init__()
        self._bucket = TokenBucket(1.0, 20)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        return record.levelno != logging.WARNING or self._bucket.take(time.monotonic()) == 0


def log_to_stderr() -> None:
    """Write all log records and uncaught exceptions to standard error through :class:`OneLineFormatter`.

    Replaces the root logger's handlers. Start uvicorn with ``log_config=None`` so that its records are
    included.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(secret_redactor()))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(WarningRateFilter())
    # At INFO these log addresses and headers.
    for name in ("httpx", "httpcore", "urllib3", "botocore", "boto3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _uncaught.critical("uncaught exception, the process ends", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "unknown"
    _uncaught.error(
        "uncaught exception, thread %s ends",
        name,
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )
