"""Whether this process records traces: the standard OTEL_* variables say it. Imports no OpenTelemetry."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError
from homeostat.config.extras import EXTRAS
from homeostat.tracing import Tracer

if TYPE_CHECKING:
    from homeostat.adapters.tracer_otel import OtelTracer

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: A parent trace context for a program, by OpenTelemetry's convention for environment variables.
_INCOMING = "TRACEPARENT"


def open_tracer(service: str = "homeostat", env: Mapping[str, str] | None = None) -> Tracer | None:
    """Return the tracer of this process; None unless an endpoint or an exporter is configured.

    Parameters
    ----------
    service
        ``service.name`` of the spans where ``OTEL_SERVICE_NAME`` is not set.
    env
        The environment. OpenTelemetry's own libraries read ``os.environ``.
    """
    env = os.environ if env is None else env
    if not is_configured(env):
        return None
    settings = tuple(sorted((k, v) for k, v in env.items() if k.startswith("OTEL_") or k == _INCOMING))
    return _tracer(service, settings)


def is_configured(env: Mapping[str, str]) -> bool:
    """Whether traces are sent: an endpoint or an exporter is set, and neither is switched off."""
    exporter = env.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "console" or any(env.get(name, "").strip() for name in _ENDPOINTS)


@lru_cache(maxsize=8)  # one exporter per process, not one per command or task
def _tracer(service: str, settings: tuple[tuple[str, str], ...]) -> OtelTracer | None:
    env = dict(settings)
    if not all(_installed(module) for module in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto")):
        logger.warning(
            "OTEL_* variables ask for traces, but OpenTelemetry is not installed: none are sent. Install it:"
            " python -m pip install 'homeostat[%s]'",
            EXTRAS["opentelemetry"],
        )
        return None
    from homeostat.adapters.tracer_otel import OtelTracer

    try:
        return OtelTracer(service, env, incoming=env.get(_INCOMING, ""))
    except ConfigError as error:  # of variables that are not Homeostat's own: it works without traces
        logger.error("no traces are sent: %s", error)  # noqa: TRY400  # the sentence says it all
        return None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
