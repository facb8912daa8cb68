"""What the gateway writes to standard error: one line a message, and no secret in any of them."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from homeostat.config.redaction import masker
from homeostat.serving.auth.rate_limit import Bucket

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_uncaught = logging.getLogger("homeostat.uncaught")

# A line break or an escape sequence in what a client sent must not look like another line of the log.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class OneLine(logging.Formatter):
    """Control characters of a message are written out; secrets are masked there and in tracebacks."""

    def __init__(self, mask: Callable[[str], str], fmt: str = FORMAT) -> None:
        super().__init__(fmt)
        self._mask = mask

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """One record's line, before its traceback is added."""
        return super().formatMessage(record).translate(_CONTROL)

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback."""
        return self._mask(super().format(record))


class NotTooOften(logging.Filter):
    """At most ``burst`` records at once and one a second after that: what every bad request brings about."""

    def __init__(self, burst: float = 20, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._bucket = Bucket(1.0, burst)
        self._monotonic = monotonic

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        return record.levelno != logging.WARNING or self._bucket.take(self._monotonic()) == 0


def log_to_stderr(env: Mapping[str, str] | None = None, level: int = logging.INFO) -> None:
    """Send every logger's records, and what nobody caught, to standard error through :class:`OneLine`.

    Replaces the root logger's handlers. Start uvicorn with ``log_config=None``, so that its records
    come this way too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(masker(env)))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(NotTooOften())
    # These say at INFO which addresses and headers they use.
    for name in ("httpx", "httpcore", "urllib3", "botocore", "boto3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _tell
    threading.excepthook = _tell_of_thread


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _uncaught.critical("the process ends", exc_info=(kind, error, trace))


def _tell_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "unknown"
    _uncaught.error("thread %s ended", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
