"""One operator per step of the loop, and one for a table of any kind. Each returns small, plain JSON."""

from homeostat_airflow.operators.base import HomeostatOperator, skip
from homeostat_airflow.operators.drift import CheckDriftOperator, SyncDetectorOperator, TriggerRetrainOperator
from homeostat_airflow.operators.gate import GateOperator
from homeostat_airflow.operators.retrain import (
    AssembleOperator,
    PromoteOperator,
    RegisterOperator,
    ReleaseLease,
    RetrainOperator,
    TrainOperator,
    ValidateOperator,
)
from homeostat_airflow.operators.rollout import (
    CanaryOperator,
    RolloutOperator,
    RolloutStageOperator,
    ShadowOperator,
)
from homeostat_airflow.operators.table import TableDriftOperator
from homeostat_airflow.operators.trigger_event import TRIGGER_FIELDS, drift_asset, trigger_event

__all__ = [
    "TRIGGER_FIELDS",
    "AssembleOperator",
    "CanaryOperator",
    "CheckDriftOperator",
    "GateOperator",
    "HomeostatOperator",
    "PromoteOperator",
    "RegisterOperator",
    "ReleaseLease",
    "RetrainOperator",
    "RolloutOperator",
    "RolloutStageOperator",
    "ShadowOperator",
    "SyncDetectorOperator",
    "TableDriftOperator",
    "TrainOperator",
    "TriggerRetrainOperator",
    "ValidateOperator",
    "drift_asset",
    "skip",
    "trigger_event",
]
