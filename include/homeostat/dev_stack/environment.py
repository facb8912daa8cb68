"""The environment of MLflow, Airflow and the gateway on one machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from homeostat.config.duration import format_duration
from homeostat.config.settings import Settings
from homeostat.dev_stack.secrets_file import Secrets

HOST = "127.0.0.1"
# Airflow's modules first: a task's process would need half a second to import them.
PRELOADED = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.bundles.manager",
    "airflow.providers_manager",
    "pandas",
    "sklearn.ensemble",
    "mlflow",
    "skops.io",
    "matplotlib.pyplot",
    "homeostat.core.training_data.great_expectations_import",
)
#: The DAG file where there is no checkout: as dags/homeostat_models.py.
DAG_FILE = """from homeostat_airflow import homeostat_dags

globals().update(homeostat_dags())
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback port of each server; ``task_logs`` is the scheduler's task-log server."""

    airflow: int
    mlflow: int
    gateway: int
    task_logs: int


def local_settings(settings: Settings, ports: Ports, secrets: Secrets) -> Settings:
    """Return the settings with the addresses and the control token of this start."""
    return replace(
        settings,
        tracking_uri=f"http://{HOST}:{ports.mlflow}",
        gateway=f"http://{HOST}:{ports.gateway}",
        airflow=f"http://{HOST}:{ports.airflow}",
        control_token=settings.control_token or secrets.control_token,
    )


def settings_env(settings: Settings) -> dict[str, str]:
    """Return the environment from which ``Settings.from_env`` reads the same settings."""
    return {
        "HOMEOSTAT_HOME": str(settings.home),
        "HOMEOSTAT_MODELS": str(settings.models),
        "HOMEOSTAT_MODELS_REFRESH": format_duration(settings.models_refresh),
        "HOMEOSTAT_STATE": str(settings.state),
        "HOMEOSTAT_STORE": settings.store,
        "HOMEOSTAT_LEDGER": settings.ledger,
        "HOMEOSTAT_CACHE": str(settings.cache),
        "HOMEOSTAT_GATEWAY": settings.gateway,
        "HOMEOSTAT_GATEWAY_PUBLIC_URL": settings.gateway_public_url,
        "HOMEOSTAT_APPROVAL_SECRET": settings.approval_secret,
        "HOMEOSTAT_CONTROL_TOKEN": settings.control_token,
        "HOMEOSTAT_OVERRIDES": settings.overrides,
        "HOMEOSTAT_TRUSTED_TYPES": ",".join(settings.trusted_types),
        "HOMEOSTAT_PROJECT": settings.project,
        "HOMEOSTAT_TRIGGERS": settings.triggers,
        "HOMEOSTAT_ECS": settings.ecs.model_dump_json() if settings.ecs else "",
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "HOMEOSTAT_MLFLOW_PUBLIC_URL": settings.mlflow_public_url,
        "AIRFLOW__API__BASE_URL": settings.airflow,
        "HOMEOSTAT_AIRFLOW_PUBLIC_URL": settings.airflow_public_url,
        "HOMEOSTAT_MLFLOW_WEBHOOK_SECRET": settings.webhook_secret,
        "HOMEOSTAT_MLFLOW_BACKEND_URI": settings.mlflow_backend_uri,
        "HOMEOSTAT_TOKENS_FILE": settings.tokens_file,
        "HOMEOSTAT_TOKENS": settings.tokens,
        "HOMEOSTAT_REQUIRE_TOKEN": ",".join(settings.require_token),
    }


def platform_env(
    settings: Settings, ports: Ports, secrets: Secrets, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the services' environment, on top of ``base`` (default: this process's environment).

    Addresses, folders and keys are always set here. Preferences (log level, intervals, the metadata database)
    are defaults: a user's ``AIRFLOW__...`` variable overrides them.
    """
    base = dict(os.environ if base is None else base)
    inherited = base.get("PYTHONPATH", "")
    package = str(Path(__file__).resolve().parents[2])
    paths = dict.fromkeys([str(settings.home / "include"), package, *inherited.split(os.pathsep)])
    bin_folder = str(Path(sys.executable).parent)
    return {
        **_defaults(settings.state / "airflow"),
        **base,
        **settings_env(settings),
        **_airflow(settings, ports, secrets),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven processes of 235 MB
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PATH": os.pathsep.join([bin_folder, base.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }


def dags_folder(settings: Settings) -> Path:
    """Return the project's folder of DAG files; without one (an installed package) a folder of the state."""
    own = settings.home / "dags"
    return own if own.is_dir() else settings.state / "dags"


def write_dag_file(settings: Settings) -> None:
    """Write the DAG file of all models, where the project has no DAG files of its own."""
    folder = dags_folder(settings)
    if folder.parent == settings.state:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "homeostat_models.py").write_text(DAG_FILE, encoding="utf-8")


def _airflow(settings: Settings, ports: Ports, secrets: Secrets) -> dict[str, str]:
    home = settings.state / "airflow"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder(settings)),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.home / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": secrets.fernet_key,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{ports.airflow}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__SECRET_KEY": secrets.api_secret_key,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(ports.airflow),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{ports.airflow}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt_secret,
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.task_logs),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.state / "logs" / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
            settings.state / "logs" / "dag_processor"
        ),
    }


def _defaults(airflow_home: Path) -> dict[str, str]:
    return {
        # The scheduler ends when its database stays locked: a busy disk takes longer than the default, 5 s.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home / 'airflow.db'}?timeout=60",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Task processes are forked from one that has imported the slow libraries: a task that needs all of
        # them starts 4 to 6 seconds sooner.
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
        "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": ",".join(PRELOADED),
        # A worker may notice the end of its task only at the next heartbeat, and is busy until then.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",  # a task of a killed run is retried
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # a full name needs a name server
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",  # a new run or event is noticed this soon
        "OMP_WAIT_POLICY": "PASSIVE",  # see homeostat/__init__.py; the forkserver loads scikit-learn first
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
