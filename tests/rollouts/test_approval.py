"""Signed links: only what was signed is read, until it expires; and only approvers approve."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import Settings
from homeostat.config.errors import ConfigError, Refused
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.approval import require_approver
from homeostat.rollouts.approval_link import LIFETIME, ApprovalClaims, ApprovalLinks
from sample_model import retrain

NOW = datetime(2026, 1, 5, 7, tzinfo=UTC)
LINKS = ApprovalLinks("s" * 32, "https://gateway.example")
CLAIMS = ApprovalClaims("bike", "3f9c2a7b10de", "4", "anna", NOW + LIFETIME)


def test_a_link_is_read_as_it_was_signed_until_it_expires():
    token = LINKS.token(CLAIMS)
    assert LINKS.read(token, NOW) == CLAIMS
    assert LINKS.read(token, CLAIMS.expires - timedelta(seconds=1)) == CLAIMS
    with pytest.raises(Refused, match="This link expired at 2026-01-08 07:00 UTC"):
        LINKS.read(token, CLAIMS.expires)
    with pytest.raises(Refused, match="not valid"):
        ApprovalLinks("t" * 32).read(token, NOW)


@given(st.data())
def test_a_changed_link_is_refused(data):
    token = LINKS.token(CLAIMS)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = token[:place] + letter + token[place + 1 :]
    with suppress(Refused):  # the last letter of base64 has spare bits
        assert LINKS.read(changed, NOW) == CLAIMS


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text):
    with pytest.raises(Refused, match="not valid"):
        LINKS.read(text, NOW)


def test_a_short_secret_is_an_error():
    assert Settings.from_env({"HOMEOSTAT_APPROVAL_SECRET": "s" * 32}).approval_secret
    with pytest.raises(ConfigError, match="has 5 characters, at least 32 are needed"):
        Settings.from_env({"HOMEOSTAT_APPROVAL_SECRET": "short"})


def with_approvers(config, *names):
    return config.model_copy(update={"approval": "required", "approvers": dict.fromkeys(names, "")})


def test_only_approvers_approve_where_some_are_named(config):
    require_approver(config, "anybody")
    require_approver(with_approvers(config, "anna", "ben"), "ben")
    with pytest.raises(Refused, match="only anna, ben may approve or promote"):
        require_approver(with_approvers(config, "anna", "ben"), "eve")


@pytest.mark.usefixtures("quick", "champion")
def test_an_alias_moved_in_mlflow_promotes_nothing_where_approvers_are_named(config, ports, ask):
    sync_aliases(config, ports)
    retrain(config, ports, ask("run 2"), to_the_end=False)
    ports.registry.set_alias("sample", "champion", "2")
    own = with_approvers(config, "anna")
    sync_aliases(own, ports)
    assert ports.ledger.read("sample").champion.version == "1"
    assert ports.registry.aliases("sample")["champion"] == "1"
    assert "only anna may promote" in ports.notifier.sent[-1][1].body
