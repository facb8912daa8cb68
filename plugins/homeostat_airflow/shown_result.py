"""Shows a task's result in the list of a run's tasks.

The tooltip of Airflow's grid has a fixed content. The list has one column that a task can fill, *Map index*:
Airflow renders ``map_index_template`` when the task has ended, also that of a task that is not mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The name of the result among the values that a template sees.
_NAME = "homeostat_result"
#: Default argument of the tasks of Homeostat's own DAGs.
SHOWN_RESULT = "{{ " + _NAME + " | default('') }}"
#: Characters that fit into Airflow's database.
_MAX = 250


def show_result(context: Context, brief: str) -> None:
    """Show these words beside the task, where its ``map_index_template`` is :data:`SHOWN_RESULT`."""
    cast("dict[str, Any]", context)[_NAME] = brief[:_MAX]
