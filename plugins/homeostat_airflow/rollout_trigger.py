"""The trigger that waits for a rollout to leave a phase. It runs in the triggerer and holds no worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from homeostat.core.rollout import Traffic
    from homeostat.ports import Ledger


class RolloutTrigger(BaseTrigger):
    """Fires when the rollout of ``run_key`` is in none of ``phases`` any more.

    It also lets the rollout tick: with no gateway alive somebody has to notice the deadline. Ticking
    from several places is safe, the ledger compares before it swaps.
    """

    def __init__(self, model: str, run_key: str, phases: list[str], poll: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.run_key = run_key
        self.phases = phases
        self.poll = poll
        self._ledger: Ledger | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores and rebuilds it."""
        arguments = {"model": self.model, "run_key": self.run_key, "phases": self.phases, "poll": self.poll}
        return "homeostat_airflow.rollout_trigger.RolloutTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the ledger every ``poll`` seconds; an outage of it is waited out."""
        from homeostat.config.errors import HomeostatError, Unavailable

        while True:
            try:
                traffic = await asyncio.to_thread(self._tick)
            except Unavailable as error:
                self.log.warning("the ledger does not answer, waiting: %s", error)
            except HomeostatError as error:
                yield TriggerEvent({"error": str(error)})
                return
            else:
                rollout = traffic.rollout
                if rollout is None or rollout.id != self.run_key or str(rollout.phase) not in self.phases:
                    yield TriggerEvent({"phase": str(rollout.phase) if rollout else "gone"})
                    return
            await asyncio.sleep(self.poll)

    def _tick(self) -> Traffic:
        # Off the event loop, opening included: it serves every other trigger too.
        from homeostat.adapters import open_ledger
        from homeostat.config import Settings
        from homeostat.rollouts.advance import tick

        if self._ledger is None:
            self._ledger = open_ledger(Settings.from_env().ledger)
        return tick(self.model, self._ledger, by="airflow")
