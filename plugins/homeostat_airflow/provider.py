"""What Airflow's ``providers`` commands and connection form show; entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any

from homeostat import __version__

_NAME = "Homeostat"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, in the form of Airflow's ``provider_info.schema.json``.

    The plugin is registered by its own entry point: Airflow reports one that is named twice as an error.
    """
    from homeostat_airflow.form import BEHAVIOUR, FIELDS

    return {
        "package-name": "homeostat",
        "name": _NAME,
        "description": "Keeps machine-learning models healthy: drift checks, retrains, rollouts.",
        "versions": [__version__],
        "integrations": [{"integration-name": _NAME, "external-doc-url": "", "tags": ["software"]}],
        "hooks": [{"integration-name": _NAME, "python-modules": ["homeostat_airflow.hook"]}],
        "connection-types": [
            {
                "connection-type": "homeostat",
                "hook-class-name": "homeostat_airflow.hook.HomeostatHook",
                "hook-name": _NAME,
                "conn-fields": FIELDS,
                "ui-field-behaviour": BEHAVIOUR,
            }
        ],
        "operators": [{"integration-name": _NAME, "python-modules": ["homeostat_airflow.operators"]}],
        "triggers": [{"integration-name": _NAME, "python-modules": ["homeostat_airflow.rollout_trigger"]}],
        "notifications": ["homeostat_airflow.notifications.HomeostatNotifier"],
        "extra-links": ["homeostat_airflow.links.MLflowLink", "homeostat_airflow.links.HealthLink"],
        "asset-uris": [{"schemes": ["homeostat"], "handler": "homeostat_airflow.asset_uri.sanitize"}],
    }
