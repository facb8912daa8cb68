"""The ECS task for training on Fargate: ``HOMEOSTAT_ECS``, as in Terraform's ``airflow_environment``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeostat.config.errors import ConfigError

_Some = Annotated[tuple[str, ...], Field(min_length=1)]
_Text = Annotated[str, Field(min_length=1)]


class Fargate(BaseModel):
    """One ECS task definition and the network that its tasks run in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: _Text
    task_definition: _Text
    subnets: _Some
    security_groups: _Some
    container: _Text = "train"
    log_group: str = ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the variable; raises ConfigError naming the wrong key."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the value"
            msg = (
                f"HOMEOSTAT_ECS: {where}: {first['msg']}. "
                "Take it from `terraform output airflow_environment`, "
                'for example {"cluster": "...", "task_definition": "...", "subnets": ["subnet-..."], '
                '"security_groups": ["sg-..."]}'
            )
            raise ConfigError(msg) from None
