"""Put the gateway together from the settings and serve it: the one place here that knows the adapters."""

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
from homeostat.serving.options import Options, gateway_id
from homeostat.serving.server.logging_setup import log_to_stderr

if TYPE_CHECKING:
    from homeostat.config import ModelConfig, Settings
    from homeostat.serving.http.app import Gateway, Message, Receive, Scope, Send
    from homeostat.serving.runtime import Runtime
    from homeostat.serving.worker_ipc import Place

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

#: Requests in flight get this long to end after SIGTERM; SageMaker and Kubernetes kill after 30 s.
DRAIN_SECONDS = 20
#: An idle connection stays open for longer than load balancers keep theirs (60 s is usual): whoever closes
#: first must not be the side that the next request is on its way to.
KEEP_ALIVE_SECONDS = 75
#: How long a worker that starts may load its versions before it takes connections all the same.
WARM_UP_SECONDS = 10.0
_BACKLOG = 2048


def run(
    settings: Settings,
    host: str = "0.0.0.0",  # noqa: S104  # a server in a container
    port: int = 8080,
    options: Options | None = None,
    *,
    load: str = "",
) -> None:
    """Serve until SIGTERM or Ctrl-C, then let requests in flight end and write the logs.

    A model whose model.yaml cannot be read is left out, and the log says why.

    Parameters
    ----------
    load
        The function that loads bundles, as ``module:name``, instead of ours; a seam for tests.

    Raises
    ------
    ConfigError
        A setting is wrong.
    Unavailable
        The address cannot be listened on.
    """
    options = options or Options.from_env()
    listening = listen(host, port)
    _prepare()
    where = f"[{host}]" if ":" in host else host
    logger.info("listening on http://%s:%d", where, listening.getsockname()[1])
    if options.workers == 1:
        _serve(_application(settings, options, load), options, listening)
        return
    from homeostat.serving.server.supervisor import Supervisor

    work = functools.partial(_work, settings, options, load)
    code = Supervisor(work, listening, options.workers, settings.state).run()
    if code:
        sys.exit(code)


def listen(host: str, port: int) -> socket.socket:
    """Bind the address; Unavailable when it cannot be, with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        msg = f"cannot listen on {host}, port {port}: {why}; choose another with --port (0 takes a free one)"
        raise Unavailable(msg) from None


def _prepare() -> None:
    # One thread per predict call: the pool already keeps the cores busy, and small batches gain nothing.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    log_to_stderr()


def _application(settings: Settings, options: Options, load: str) -> Gateway:
    from homeostat.adapters import build_ports
    from homeostat.serving.http.app import create_app
    from homeostat.serving.runtime import LOAD_BUNDLE

    ports = build_ports(settings)
    return create_app(readable_models(settings), ports, settings, options, load=load or LOAD_BUNDLE)


def _serve(app: App, options: Options, listening: socket.socket) -> None:
    import uvicorn

    from homeostat.serving.server.http_limits import limited

    # What was imported stays: a full collection that walks it all holds every answer up, and the journal
    # beyond its tenth of a second.
    gc.collect()
    gc.freeze()
    # What answers leave behind is counted off, not collected: cycles are few, and looking for them can wait.
    gc.set_threshold(20_000, 20, 50)
    # A predict call that wants Python's lock waits this long for a thread that is at work in the background.
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        app,
        loop="auto",
        http=limited(options),  # type: ignore[arg-type]  # uvicorn only calls it
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
    # uvicorn raises the signal again when everything is drained: asked to end, and ended well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _work(settings: Settings, options: Options, load: str, listening: socket.socket, place: Place) -> None:
    """One worker: a whole gateway with a name and evidence of its own, that knows its siblings."""
    _prepare()
    from homeostat.serving.worker_ipc import Siblings

    name = options.gateway.rpartition("-")[0]
    options = replace(options, gateway=gateway_id(f"{name}-w{place.index}"))
    app = _application(settings, options, load)
    app.runtime.siblings = Siblings(place)
    _serve(warmed_up(app), options, listening)


def warmed_up(app: Gateway) -> App:
    """The application, which takes connections only once its versions are loaded: its siblings have time."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def held(message: Message) -> None:
            siblings = app.runtime.siblings
            if message["type"] == "lifespan.startup.complete" and siblings is not None:
                from homeostat.serving.http.aggregate import answers

                end = time.monotonic() + WARM_UP_SECONDS
                while not _settled(app.runtime) and time.monotonic() < end:  # noqa: ASYNC110  # once, at the start
                    await asyncio.sleep(0.02)
                siblings.listen(asyncio.get_running_loop(), answers(app.runtime))
            await send(message)

        await app(scope, receive, held)

    return wrapped


def _settled(runtime: Runtime) -> bool:
    """Whether every model answers, or the ledger says that it has no champion, or why it cannot be loaded."""
    return all(
        state.table.champion is not None
        or (state.ledger_seen is not None and state.table.traffic.champion is None)
        or state.table.traffic.champion in state.failures
        for state in runtime.states.values()
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
