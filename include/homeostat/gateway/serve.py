"""Put the gateway together from the settings and serve it: the one place here that knows the adapters."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from homeostat.gateway.options import Options
from homeostat.gateway.stderr import log_to_stderr

if TYPE_CHECKING:
    from homeostat.config import ModelConfig, Settings

logger = logging.getLogger(__name__)

#: Requests in flight get this long to end after SIGTERM; SageMaker and Kubernetes kill after 30 s.
DRAIN_SECONDS = 20


def run(settings: Settings, host: str = "0.0.0.0", port: int = 8080) -> None:  # noqa: S104  # a server in a container
    """Serve until SIGTERM or Ctrl-C, then let requests in flight end and write the logs.

    A model whose model.yaml cannot be read is left out, and the log says why.

    Raises
    ------
    ConfigError
        A setting is wrong.
    """
    # One thread per predict call: the pool already keeps the cores busy, and small batches gain nothing.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    log_to_stderr()

    import uvicorn

    from homeostat.adapters import build_ports
    from homeostat.gateway.app import create_app
    from homeostat.gateway.connection import limited

    options = Options.from_env()
    app = create_app(readable_models(settings), build_ports(settings), settings, options)
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="auto",
        http=limited(options),  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=2048,
    )


def readable_models(settings: Settings) -> dict[str, ModelConfig]:
    """The models that can be served; one bad model.yaml must not keep the others from answering."""
    models: dict[str, ModelConfig] = {}
    for model in settings.each_model():
        if isinstance(model, tuple):
            logger.error("not served: %s", model[1])
        else:
            models[model.name] = model
    return models
