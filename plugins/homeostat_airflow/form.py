"""The form of connections of the type Homeostat."""

from typing import Any

#: The fields of the form that are kept in the connection's extra.
FIELDS: dict[str, dict[str, Any]] = {
    "ledger": {
        "label": "Ledger",
        "description": "SQLAlchemy URL of the ledger, such as postgresql+psycopg2://user:password@host/ledger",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "store": {
        "label": "Store",
        "description": "s3://bucket/prefix, or file:///folder that all machines share",
        "schema": {"type": ["string", "null"]},
    },
    "mlflow": {
        "label": "MLflow tracking URI",
        "description": "Such as https://mlflow.example.com",
        "schema": {"type": ["string", "null"]},
    },
    "mlflow_username": {"label": "MLflow user", "schema": {"type": ["string", "null"]}},
    "mlflow_password": {
        "label": "MLflow password",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "triggers": {
        "label": "Trigger queue",
        "description": "URL of the SQS queue of retrain triggers, if a Lambda function checks models",
        "schema": {"type": ["string", "null"]},
    },
}
BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port", "extra"],
    "relabeling": {"host": "Gateway URL", "password": "Gateway control token"},
    "placeholders": {"host": "http://gateway:8000"},
}
