"""Limits and intervals of the gateway. The defaults suit one small machine."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from homeostat.config.errors import ConfigError

#: Where 0 means no limit.
_MAY_BE_ZERO = ("loaded_models", "rate_per_client")


def gateway_id(name: str = "") -> str:
    """Return a unique name for this gateway process; file names contain it."""
    host = "".join(c for c in socket.gethostname().lower() if c.isalnum() or c == "-")[:24] or "gateway"
    return f"{name or host}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Options:
    """Limits and intervals, each read from ``HOMEOSTAT_GATEWAY_<NAME>`` (upper case).

    Parameters
    ----------
    max_body_bytes, max_rows
        Limits of one request; beyond them 413.
    max_held_bytes
        Memory for request bodies that arrive in several parts, over all connections; beyond it 503 with
        Retry-After.
    max_header_bytes
        Size of one request's headers; beyond it 431.
    receive_seconds
        Time within which a request must be complete; then 408. A client that does not read its response for
        as long is disconnected.
    max_connections
        Open connections; beyond it 503. Beyond twice as many, connections are dropped without a response.
    rate_per_client, rate_burst
        Requests per second of one client (its token, or else its address), and how many at once; beyond them
        429 with Retry-After. 0, the default, means unlimited. Each worker process counts on its own.
    max_waiting_rows
        Rows that may wait for one version; beyond it 503 with Retry-After.
    max_batch_rows
        Rows of one predict call.
    threads
        Threads that predict, for all models together. One whose call takes longer than a second is replaced
        by another while calls wait, up to 32 of them, so that slow models keep no other waiting.
    candidate_timeout
        Seconds after which the champion predicts in place of a canary; at least twice the plan's
        ``p99_latency_ms``.
    champion_timeout
        Seconds after which a request fails with 504.
    poll_seconds, tick_seconds
        How often the ledger is read, and how often a rollout is evaluated.
    flush_seconds, flush_rows, keep_rows
        When the prediction log is written, and how many rows are kept while the store is unavailable.
        Rows beyond that are still served, and counted as lost.
    journal_seconds
        How often served rows are written to the local journal. ``kill -9`` loses the rows since the last
        write; they are counted.
    shadow_rows
        Rows that may wait for the shadow process; further rows are dropped and counted.
    known_labels
        Recent label ids kept per model to detect duplicates.
    max_future_seconds
        How far in the future a row's timestamp may be.
    loaded_models
        Models that one process keeps in memory; others are loaded with their first request, and the least
        recently used one is unloaded for it. 0, the default: all, loaded at the start.
    workers
        Processes that share the address; each is a complete gateway.
    gateway
        ``HOMEOSTAT_GATEWAY_NAME``: the gateway's name in the ledger and in file names, by default the host's
        name. A suffix that is new with every start is added.
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
    loaded_models: int = 0
    workers: int = 1
    gateway: str = field(default_factory=gateway_id)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Options:
        """Read the environment; ConfigError names the variable that is invalid."""
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
            number, least = values[each.name], "0 or more" if each.name in _MAY_BE_ZERO else "more than 0"
            if not isinstance(number, str) and (number < 0 or (number == 0 and least == "more than 0")):
                msg = f"{key}: found {text!r}, expected {least}"
                raise ConfigError(msg)
        if "gateway" in values:  # a fixed name needs a unique suffix too
            values["gateway"] = gateway_id(str(values["gateway"]))
        return cls(**values)  # type: ignore[arg-type]  # each was converted by its field's type
