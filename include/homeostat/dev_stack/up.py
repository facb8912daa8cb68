"""``homeostat up``: run the platform until Ctrl-C."""

from __future__ import annotations

import os
import time

from rich.console import Console
from rich.table import Table

from homeostat.config import Settings
from homeostat.dev_stack.stack import Platform, ServiceProgress


def run_up(settings: Settings, console: Console, *, keep_ports: bool) -> None:
    """Start the platform, print its addresses, and run until Ctrl-C or until a service ends.

    Raises
    ------
    Refused
        A platform already uses this state folder.
    Unavailable
        A service did not start, or ended; the message shows the end of its log.
    """
    with console.status("starting MLflow, Airflow and the gateway") as status:

        def progress(event: ServiceProgress) -> None:
            if event.state == "ready":
                console.print(
                    f"[green]✔[/] {event.name} is ready after {event.seconds:.0f} s", highlight=False
                )
            elif event.state == "started":
                status.update(f"starting {event.name}")

        platform = Platform(settings, progress=progress, keep_ports=keep_ports)
        platform.__enter__()
    try:
        console.print(addresses_table(platform))
        console.print(f"\n{hint(platform)}", highlight=False)
        console.print(environment_exports(platform), highlight=False, soft_wrap=True)
        console.print("Press [bold]Ctrl-C[/] to stop. Data is kept for the next start.")
        while True:
            platform.check()
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    finally:
        with console.status("stopping"):
            platform.__exit__(None, None, None)
    console.print("stopped")


def addresses_table(platform: Platform) -> Table:
    """Return the addresses and the login."""
    table = Table(box=None, padding=(0, 2), show_header=False)
    airflow = platform.airflow
    table.add_row("[bold]Airflow[/]", f"{airflow.url}   user {airflow.user}, password {airflow.password}")
    table.add_row("[bold]MLflow[/]", platform.mlflow_url)
    table.add_row("[bold]Gateway[/]", platform.gateway_url)
    table.add_row("[bold]Health[/]", f"{platform.gateway_url}/fleet")
    table.add_row("[bold]Logs[/]", str(platform.logs))
    return table


def hint(platform: Platform) -> str:
    """Return who needs the exports: with the usual state folder, only programs other than `homeostat`."""
    usual = Settings.from_env({**os.environ, "HOMEOSTAT_STATE": ""}).state
    if usual.resolve() == platform.settings.state.resolve():
        return "`homeostat` commands in another terminal find these addresses; for curl and other programs:"
    return "In another terminal, for `homeostat` commands, curl and other programs:"


def environment_exports(platform: Platform) -> str:
    """Return the shell commands that let another terminal use this platform."""
    wanted = {
        "HOMEOSTAT_STATE": str(platform.settings.state),
        "HOMEOSTAT_GATEWAY": platform.gateway_url,
        "HOMEOSTAT_CONTROL_TOKEN": platform.control_token,
        "MLFLOW_TRACKING_URI": platform.mlflow_url,
        "AIRFLOW__API__BASE_URL": platform.airflow.url,
    }
    return "\n".join(f"export {name}={value}" for name, value in wanted.items())
