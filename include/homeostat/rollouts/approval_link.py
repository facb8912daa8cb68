"""Signed links with which a person approves or declines a waiting version at a gateway.

A link names the rollout, the approver and its end, signed with HMAC-SHA-256 under HOMEOSTAT_APPROVAL_SECRET,
which Airflow and all gateways share. It works once, since it names the rollout: when that no longer waits,
the link does nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homeostat.config.errors import Refused

#: How long a link works.
LIFETIME = timedelta(days=3)
_PREFIX = b"homeostat-approval-1:"


@dataclass(frozen=True, slots=True)
class ApprovalClaims:
    """What a link is for. ``approver`` is "" for a link that was sent to several people."""

    model: str
    rollout: str
    version: str
    approver: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class ApprovalLinks:
    """Makes and reads links.

    Parameters
    ----------
    secret
        Shared by Airflow and the gateways, at least 32 characters.
    gateway
        The address of the gateway as people reach it.
    """

    secret: str
    gateway: str = ""

    def link(self, claims: ApprovalClaims) -> str:
        """Return the address to open."""
        return f"{self.gateway}/approvals/{self.token(claims)}"

    def personal_link(self, model: str, rollout: str, version: str, approver: str, now: datetime) -> str:
        """See :meth:`homeostat.ports.ApprovalLinker.personal_link`."""
        return self.link(ApprovalClaims(model, rollout, version, approver, now + LIFETIME))

    def token(self, claims: ApprovalClaims) -> str:
        """Return the signed claims, safe in a URL."""
        expires = int(claims.expires.timestamp())
        payload = json.dumps([claims.model, claims.rollout, claims.version, claims.approver, expires])
        return f"{_encode(payload.encode())}.{_encode(self._sign(payload.encode()))}"

    def read(self, token: str, now: datetime) -> ApprovalClaims:
        """Return the claims of a token.

        Raises
        ------
        Refused
            The signature is wrong, or the link has expired.
        """
        wrong = "This link is not valid. Open it exactly as it was sent, in one line."
        try:
            payload, signature = (_decode(part) for part in token.split("."))
        except ValueError:
            raise Refused(wrong) from None
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise Refused(wrong)
        model, rollout, version, approver, expires = json.loads(payload)
        claims = ApprovalClaims(model, rollout, version, approver, datetime.fromtimestamp(expires, UTC))
        if now >= claims.expires:
            msg = (
                f"This link expired at {claims.expires:%Y-%m-%d %H:%M} UTC. Approve in Airflow (Required"
                f" Actions), or run: homeostat promote {model}"
            )
            raise Refused(msg)
        return claims

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self.secret.encode(), _PREFIX + payload, hashlib.sha256).digest()


def approval_links(secret: str, gateway: str) -> ApprovalLinks | None:
    """Return the links of an installation; None without a secret."""
    return ApprovalLinks(secret, gateway) if secret else None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
