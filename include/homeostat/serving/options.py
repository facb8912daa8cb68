"""The gateway's own limits and rhythms; each has a default that suits one small machine."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from homeostat.config.errors import ConfigError


def gateway_id(name: str = "") -> str:
    """A name that no other gateway, and no earlier run of this one, has: file names are built on it."""
    host = "".join(c for c in socket.gethostname().lower() if c.isalnum() or c == "-")[:24] or "gateway"
    return f"{name or host}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Options:
    """Limits and rhythms, each read from ``HOMEOSTAT_GATEWAY_<NAME>`` (upper case).

    Parameters
    ----------
    max_body_bytes, max_rows
        What one request may bring; more is answered with 413.
    max_held_bytes
        Bodies in parts that are being received, in all; more are answered with 503 and Retry-After.
    max_header_bytes
        What a request's headers may take; more is answered with 431.
    receive_seconds
        Seconds within which a request must be here whole; a slower one is answered with 408, and a
        client that never reads its answer is cut off.
    max_connections
        Open connections; those beyond it are answered with 503, or dropped when there are twice as many.
    rate_per_client, rate_burst
        Requests a second of one client (its token, or else its address), and how many at once; more are
        answered with 429 and Retry-After. 0, the default, is no limit. Each worker process counts for itself.
    max_waiting_rows
        Rows that may wait for one version; more are answered with 503 and Retry-After.
    max_batch_rows
        Rows predicted in one call.
    threads
        Worker threads that predict.
    candidate_timeout
        Seconds after which the champion answers for a canary that does not; a plan's
        ``p99_latency_ms`` makes it longer where that is slow.
    champion_timeout
        Seconds after which a request is given up with 504.
    poll_seconds, tick_seconds
        How often the ledger is read, and how often a rollout is judged.
    flush_seconds, flush_rows, keep_rows
        When the prediction log is written, and how many rows are kept while the store is away;
        rows beyond that are served all the same, and counted as lost.
    journal_seconds
        How often served rows are handed to the local journal; kill -9 loses what came since, counted.
    shadow_rows
        Rows that may wait for the shadow process; more are dropped and counted.
    known_labels
        How many recent label ids are remembered per model to see doubles.
    max_future_seconds
        How far ahead of the clock a row's timestamp may lie.
    workers
        Processes that share the address; each is a whole gateway.
    gateway
        ``HOMEOSTAT_GATEWAY_NAME``: what the gateway calls itself in the ledger and in file names, by
        default after its host; a part that is new with every start is put behind it.
    """

    max_body_bytes: int = 8 * 1024 * 1024
    max_rows: int = 10_000
    max_held_bytes: int = 256 * 1024 * 1024
    max_header_bytes: int = 64 * 1024
    receive_seconds: float = 20.0
    max_connections: int = 1_000
    rate_per_client: float = 0.0
    rate_burst: int = 100
    max_waiting_rows: int = 20_000
    max_batch_rows: int = 4096
    threads: int = 4
    candidate_timeout: float = 1.0
    champion_timeout: float = 30.0
    poll_seconds: float = 0.1
    tick_seconds: float = 0.25
    flush_seconds: float = 5.0
    flush_rows: int = 5_000
    keep_rows: int = 200_000
    journal_seconds: float = 0.03
    shadow_rows: int = 5_000
    known_labels: int = 1_000_000
    max_future_seconds: float = 300.0
    workers: int = 1
    gateway: str = field(default_factory=gateway_id)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Options:
        """Read ``HOMEOSTAT_GATEWAY_MAX_BODY_BYTES`` and its like; ConfigError names the one that is wrong."""
        env = os.environ if env is None else env
        values: dict[str, int | float | str] = {}
        for each in fields(cls):
            key = f"HOMEOSTAT_GATEWAY_{'NAME' if each.name == 'gateway' else each.name.upper()}"
            text = env.get(key)
            if not text:
                continue
            kind = {"int": int, "float": float}.get(str(each.type), str)
            try:
                values[each.name] = kind(text)
            except ValueError:
                msg = f"{key}: found {text!r}, expected {'a whole number' if kind is int else 'a number'}"
                raise ConfigError(msg) from None
            number = values[each.name]
            if not isinstance(number, str) and number <= 0:
                msg = f"{key}: found {text!r}, expected more than 0"
                raise ConfigError(msg)
        if "gateway" in values:  # a fixed name still needs a part that is new with every start
            values["gateway"] = gateway_id(str(values["gateway"]))
        return cls(**values)  # type: ignore[arg-type]  # each was converted by its field's type
