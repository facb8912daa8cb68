"""Build the gateway from the settings and serve it. The only module of ``serving`` that imports adapters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from homeostat.config.errors import Unavailable
from homeostat.config.extras import require_libraries
from homeostat.serving.options import Options, gateway_id
from homeostat.serving.server.logging_setup import log_to_stderr

if TYPE_CHECKING:
    from homeostat.config import ModelConfig, Settings
    from homeostat.serving.http.app import Gateway, Message, Receive, Scope, Send
    from homeostat.serving.runtime import Runtime
    from homeostat.serving.worker_ipc import WorkerAddress

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

#: Time for requests in flight to end after SIGTERM; SageMaker and Kubernetes kill after 30 s.
DRAIN_SECONDS = 20
#: Idle connections stay open for longer than in load balancers (usually 60 s), so that the balancer closes
#: first: a request must not arrive at a connection that is just being closed.
KEEP_ALIVE_SECONDS = 75
#: A starting worker accepts connections after this time even if its versions are not loaded.
WARM_UP_SECONDS = 10.0
_BACKLOG = 2048


def run(
    settings: Settings,
    host: str = "0.0.0.0",  # noqa: S104  # a server in a container
    port: int = 8000,
    options: Options | None = None,
    *,
    load: str = "",
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish requests in flight and write the logs.

    A model whose model.yaml is invalid is not served; the reason is logged.

    Parameters
    ----------
    load
        The function that loads bundles, as ``module:name``; for tests. Default: Homeostat's own.

    Raises
    ------
    ConfigError
        A setting is invalid.
    MissingExtra
        A library of the extra ``gateway`` is not installed.
    Unavailable
        The address is in use or not allowed.
    """
    options = options or Options.from_env()
    # Before the address, which may be taken: without the libraries another port does not help.
    require_libraries("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client")
    listening = listen(host, port)
    _configure_process()
    url_host = f"[{host}]" if ":" in host else host
    logger.info("listening on http://%s:%d", url_host, listening.getsockname()[1])
    if options.workers == 1:
        _serve(_application(settings, options, load), options, listening)
        return
    from homeostat.serving.server.supervisor import Supervisor

    run_worker = functools.partial(_run_worker, settings, options, load)
    code = Supervisor(run_worker, listening, options.workers, settings.state).run()
    if code:
        sys.exit(code)


def listen(host: str, port: int) -> socket.socket:
    """Bind the address; Unavailable when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        msg = f"cannot listen on {host}, port {port}: {why}; choose another with --port (0 picks a free one)"
        raise Unavailable(msg) from None


def _configure_process() -> None:
    # One thread per predict call: the thread pool keeps the cores busy, and small batches gain nothing.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    log_to_stderr()


def _application(settings: Settings, options: Options, load: str) -> Gateway:
    from homeostat.adapters import build_ports
    from homeostat.adapters.notifier_apprise import EnvironmentTransport
    from homeostat.adapters.notifier_store import GatewayNotifier
    from homeostat.serving.http.app import create_app
    from homeostat.serving.runtime import LOAD_BUNDLE

    ports = build_ports(settings, service="homeostat-gateway")
    models = readable_models(settings)
    notifier = GatewayNotifier(ports.store, options.gateway, models, EnvironmentTransport())
    ports = replace(ports, notifier=notifier)
    return create_app(models, ports, settings, options, load=load or LOAD_BUNDLE)


def _serve(app: App, options: Options, listening: socket.socket) -> None:
    import uvicorn

    from homeostat.serving.server.http_limits import limited_protocol

    # Imported objects stay for good. A full collection over them would delay every response, and the journal
    # beyond its tenth of a second.
    gc.collect()
    gc.freeze()
    # Reference counting frees what requests leave behind; cycles are rare, so collect them seldom.
    gc.set_threshold(20_000, 20, 50)
    # The longest that a predict call waits for the GIL while a background thread holds it.
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        app,
        loop="auto",
        http=limited_protocol(options),  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        backlog=_BACKLOG,
    )
    # uvicorn raises SIGTERM again when everything is drained: end with exit status 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _run_worker(
    settings: Settings, options: Options, load: str, listening: socket.socket, address: WorkerAddress
) -> None:
    """Run one worker: a complete gateway with its own name and evidence, which can query its peers."""
    _configure_process()
    from homeostat.serving.worker_ipc import WorkerPeers

    name = options.gateway.rpartition("-")[0]
    options = replace(options, gateway=gateway_id(f"{name}-w{address.index}"))
    app = _application(settings, options, load)
    app.runtime.peers = WorkerPeers(address)
    _serve(_listen_when_loaded(app), options, listening)


def _listen_when_loaded(app: Gateway) -> App:
    """Delay the end of startup until the versions are loaded; meanwhile the other workers serve."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def delayed(message: Message) -> None:
            peers = app.runtime.peers
            if message["type"] == "lifespan.startup.complete" and peers is not None:
                from homeostat.serving.http.aggregate import worker_queries

                end = time.monotonic() + WARM_UP_SECONDS
                while not _all_loaded(app.runtime) and time.monotonic() < end:  # noqa: ASYNC110  # once, at the start
                    await asyncio.sleep(0.02)
                peers.listen(asyncio.get_running_loop(), worker_queries(app.runtime))
            await send(message)

        await app(scope, receive, delayed)

    return wrapped


def _all_loaded(runtime: Runtime) -> bool:
    """Whether every model can predict, or has no champion, or one that cannot be loaded."""
    return all(runtime.is_settled(state) for state in runtime.states.values())


def readable_models(settings: Settings) -> dict[str, ModelConfig]:
    """Return the models with a valid model.yaml; log the others, which are not served."""
    models: dict[str, ModelConfig] = {}
    for model in settings.each_model():
        if isinstance(model, tuple):
            logger.error("not served: %s", model[1])
        else:
            models[model.name] = model
    return models
