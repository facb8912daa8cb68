"""MLflow's webhooks: check that a delivery is MLflow's own and new, and answer a moved ``champion`` at once.

MLflow 3 signs a delivery with the webhook's secret: HMAC-SHA256 over ``<delivery id>.<timestamp>.<body>``,
in the header ``X-MLflow-Signature`` as ``v1,<base64>``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Ports
from homeostat.rollouts.alias_sync import sync_aliases

#: Seconds that a delivery's timestamp may differ from the gateway's clock; MLflow repeats one within seconds.
WINDOW_SECONDS = 300
#: Delivery ids that are remembered: beyond it the oldest are forgotten.
_MAX_KNOWN = 10_000
_ALIAS, _CHAMPION = "model_version_alias", "champion"


class RejectedDelivery(Exception):
    """A delivery that is refused, with its HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class MlflowWebhooks:
    """Hears deliveries; one model is synchronised by one delivery at a time.

    Parameters
    ----------
    secret
        The webhook's secret; "" rejects every delivery.
    now
        Seconds since 1970.
    """

    def __init__(
        self, models: Mapping[str, ModelConfig], ports: Ports, secret: str, now: Callable[[], float]
    ) -> None:
        self._models = models
        self._ports = ports
        self._secret = secret.encode()
        self._now = now
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._syncs = {name: threading.Lock() for name in models}

    def receive(self, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Check one delivery, and synchronise its model with the ledger when ``champion`` was moved.

        Returns ``model`` ("" for one that is none of this installation), ``handled`` and ``done``, what
        :func:`~homeostat.rollouts.alias_sync.sync_aliases` did.

        Raises
        ------
        RejectedDelivery
            404 where no secret is set, 401 for a wrong signature or time, 409 for a repeated delivery, 400
            for a body that is not MLflow's.
        Unavailable
            MLflow, the ledger or the store does not respond: MLflow sends it again.
        """
        delivery = self._check(headers, body)
        try:
            return self._handle(body)
        except Exception:
            with self._lock:
                self._known.pop(delivery, None)  # MLflow may send it again
            raise

    def _check(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the delivery's id, which is remembered."""
        if not self._secret:
            msg = "MLflow's webhooks are off: set HOMEOSTAT_MLFLOW_WEBHOOK_SECRET to the webhook's secret."
            raise RejectedDelivery(404, msg)
        delivery, sent = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        signed = f"{delivery}.{sent}.".encode() + body
        wanted = b"v1," + base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest())
        given = headers.get("x-mlflow-signature", "").encode("utf-8", "replace")
        if not delivery or not hmac.compare_digest(wanted, given):
            msg = "X-MLflow-Signature is not that of the secret in HOMEOSTAT_MLFLOW_WEBHOOK_SECRET."
            raise RejectedDelivery(401, msg)
        if not sent.isascii() or not sent.isdigit() or abs(self._now() - int(sent)) > WINDOW_SECONDS:
            msg = f"X-MLflow-Timestamp differs from this machine's clock by more than {WINDOW_SECONDS} s."
            raise RejectedDelivery(401, msg)
        with self._lock:
            if delivery in self._known:
                raise RejectedDelivery(409, "This delivery was received before.")
            self._known[delivery] = None
            while len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return delivery

    def _handle(self, body: bytes) -> dict[str, Any]:
        try:
            event = json.loads(body)
            entity, data = event["entity"], event["data"]
            name = str(data["name"])
        except (ValueError, KeyError, TypeError):
            raise RejectedDelivery(400, "The body is not an event of MLflow's registry.") from None
        config = self._models.get(name)
        if config is None or entity != _ALIAS or data.get("alias") != _CHAMPION:
            return {"model": name if config else "", "handled": False, "done": {}}
        with self._syncs[name]:
            return {"model": name, "handled": True, "done": sync_aliases(config, self._ports)}
