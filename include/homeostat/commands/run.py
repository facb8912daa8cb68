"""gateway and new."""

from __future__ import annotations

import socket

from homeostat.commands.console import print_json, say
from homeostat.config import Settings
from homeostat.config.errors import Unavailable


def serve_gateway(settings: Settings, host: str, port: int) -> None:
    """Serve until told to stop; Unavailable when the address cannot be listened on."""
    from homeostat.gateway.serve import run

    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        msg = f"cannot listen on {host}, port {port}: {why}; choose another with --port (0 takes a free one)"
        raise Unavailable(msg) from None
    run(settings, host, port)


def write_new(settings: Settings, model: str, *, as_json: bool) -> None:
    """A model folder from the template."""
    from homeostat.scaffold import new_model

    folder = new_model(model, settings.models)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
        return
    say(f"Wrote {folder}. It works as it stands:")
    say("  homeostat up              start the platform, and leave it running")
    say(f"  homeostat retrain {model}   in another terminal: make the first version")
    say("Then put your own columns into model.yaml and your own pipeline into pipeline.py.")
