"""``homeostat up``: the platform without the story."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from homeostat.config import Settings
from homeostat.dev_stack.stack import Platform, Step


def run_up(settings: Settings, console: Console, *, keep_ports: bool) -> None:
    """Start everything, say where it is, and stay until Ctrl-C or until a part ends by itself.

    Raises
    ------
    Refused
        A platform runs on this state folder already.
    Unavailable
        A part did not start, or ended; the message shows the end of its log.
    """
    with console.status("starting MLflow, Airflow and the gateway") as status:

        def progress(step: Step) -> None:
            if step.state == "ready":
                console.print(f"[green]✔[/] {step.name} is ready after {step.seconds:.0f} s", highlight=False)
            elif step.state == "started":
                status.update(f"starting {step.name}")

        platform = Platform(settings, progress=progress, keep_ports=keep_ports)
        platform.__enter__()
    try:
        console.print(where_to_look(platform))
        console.print("\nIn other terminals, so that `homeostat` commands find it:", highlight=False)
        console.print(exports(platform), highlight=False, soft_wrap=True)
        console.print("[bold]Ctrl-C[/] stops it; everything is kept and is there again at the next start.")
        while True:
            platform.check()
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    finally:
        with console.status("stopping"):
            platform.__exit__(None, None, None)
    console.print("stopped")


def where_to_look(platform: Platform) -> Table:
    """The addresses, and how to log in."""
    table = Table(box=None, padding=(0, 2), show_header=False)
    airflow = platform.airflow
    table.add_row("[bold]Airflow[/]", f"{airflow.url}   user {airflow.user}, password {airflow.password}")
    table.add_row("[bold]MLflow[/]", platform.mlflow_url)
    table.add_row("[bold]Gateway[/]", platform.gateway_url)
    table.add_row("[bold]Logs[/]", str(platform.logs))
    return table


def exports(platform: Platform) -> str:
    """What another terminal needs in order to talk to this platform."""
    wanted = {
        "HOMEOSTAT_STATE": str(platform.settings.state),
        "HOMEOSTAT_GATEWAY": platform.gateway_url,
        "HOMEOSTAT_CONTROL_TOKEN": platform.control_token,
        "MLFLOW_TRACKING_URI": platform.mlflow_url,
    }
    return "\n".join(f"export {name}={value}" for name, value in wanted.items())
