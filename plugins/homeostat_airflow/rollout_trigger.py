"""The trigger that waits until a rollout leaves a phase. It runs in the triggerer and occupies no worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from homeostat.config import Settings
    from homeostat.core.rollout import Traffic
    from homeostat.ports import Ledger


#: The gateway is asked after so many polls why it has not loaded a first version.
_ASK_AFTER = 10


class RolloutTrigger(BaseTrigger):
    """Fires when the rollout of ``run_key`` has left ``phases``.

    It also advances the rollout, so that deadlines hold when no gateway is alive. Several drivers may run at
    once: the ledger is written by compare-and-swap.
    """

    def __init__(
        self,
        model: str,
        run_key: str,
        phases: list[str],
        poll: float = 1.0,
        homeostat_conn_id: str = DEFAULT_CONN_ID,
    ) -> None:
        super().__init__()
        self.model = model
        self.run_key = run_key
        self.phases = phases
        self.poll = poll
        self.homeostat_conn_id = homeostat_conn_id
        self._settings: Settings | None = None
        self._ledger: Ledger | None = None
        self._held = ""
        self._waits = ""
        self._polls = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how Airflow stores and rebuilds the trigger."""
        arguments = {
            "model": self.model,
            "run_key": self.run_key,
            "phases": self.phases,
            "poll": self.poll,
            "homeostat_conn_id": self.homeostat_conn_id,
        }
        return "homeostat_airflow.rollout_trigger.RolloutTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Advance the rollout every ``poll`` seconds; wait while the ledger does not respond."""
        from homeostat.config.errors import HomeostatError, Unavailable

        while True:
            try:
                settings = self._settings = self._settings or await read_settings_async(
                    self.homeostat_conn_id
                )
                traffic = await asyncio.to_thread(self._advance, settings)
            except Unavailable as error:
                self.log.warning("the ledger does not respond, retrying: %s", error)
            except HomeostatError as error:
                yield TriggerEvent({"error": str(error)})
                return
            else:
                rollout = traffic.rollout
                if rollout is None or rollout.id != self.run_key or str(rollout.phase) not in self.phases:
                    yield TriggerEvent({"phase": str(rollout.phase) if rollout else "gone"})
                    return
                await self._log_why_first_version_waits(settings, traffic)
            await asyncio.sleep(self.poll)

    async def _log_why_first_version_waits(self, settings: Settings, traffic: Traffic) -> None:
        self._polls += 1
        if self._polls % _ASK_AFTER:
            return
        why = await asyncio.to_thread(self._why_first_version_waits, settings, traffic)
        if why != self._waits:
            self.log.warning("%s: %s", self.model, why or "the first version is loaded")
            self._waits = why

    def _why_first_version_waits(self, settings: Settings, traffic: Traffic) -> str:
        from homeostat.adapters.gateway_client import why_first_version_waits

        served = why_first_version_waits(settings, traffic)
        return served.sentence if served is not None else ""

    def _advance(self, settings: Settings) -> Traffic:
        # In a thread, opening the ledger included: the event loop runs all other triggers too.
        from homeostat.adapters import open_ledger
        from homeostat.adapters.tracer import open_tracer
        from homeostat.rollouts.advance import advance

        if self._ledger is None:
            self._ledger = open_ledger(settings.ledger)
        tracer = open_tracer("homeostat-airflow")
        result = advance(self.model, self._ledger, by="airflow", tracer=tracer)
        if result.held != self._held:
            self.log.warning("%s: %s", self.model, result.held or "the rollout is no longer held")
            self._held = result.held
        return result.traffic
