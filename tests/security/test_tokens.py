"""Tokens: parsing, authorization, and rotation while serving."""

import hmac
import json

import pytest

from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.serving.auth import tokens as access
from homeostat.serving.auth.token_store import CHECK_SECONDS, TokenStore
from homeostat.serving.auth.tokens import CONTROL, LABEL, PREDICT, READ, Token, authorize, parse_tokens

TOKENS = tuple(Token.of(f"{scope}er", f"the-token-for-{scope}", [scope]) for scope in access.SCOPES)


def bearer(scope):
    return f"Bearer the-token-for-{scope}"


@pytest.mark.parametrize("needed", access.SCOPES)
@pytest.mark.parametrize("held", access.SCOPES)
def test_a_token_grants_its_own_scope_and_control_grants_all(needed, held):
    result = authorize(bearer(held), TOKENS, needed)
    assert result.name == f"{held}er"
    assert result.status == (200 if held in (needed, CONTROL) else 403)
    assert result.status == 200 or needed in result.message


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dGVzdA==", "the-token-for-control", "Token x"]
)
def test_without_a_bearer_token_it_is_401(header):
    result = authorize(header, TOKENS, CONTROL)
    assert (result.status, result.name) == (401, "")


@pytest.mark.parametrize(
    "given", ["x", "the-token-for-contro", "the-token-for-control2", "é" * 40, "a" * 9000]
)
def test_an_unknown_token_is_403_and_is_not_repeated(given):
    result = authorize(f"Bearer {given}", TOKENS, CONTROL)
    assert (result.status, result.name) == (403, "")
    assert given not in result.message.split()


@pytest.mark.parametrize("given", ["the-token-for-predict", "the-token-for-control", "nobody's"])
def test_every_entry_is_compared_even_after_a_match(monkeypatch, given):
    compared = []

    def compare(ours, theirs):
        compared.append(ours)
        return hmac.compare_digest(ours, theirs)

    monkeypatch.setattr(access, "hmac", type("Seen", (), {"compare_digest": staticmethod(compare)}))
    authorize(f"Bearer {given}", TOKENS, CONTROL)
    assert compared == [token.digest for token in TOKENS]


def test_only_the_hash_of_a_token_is_stored():
    entry = Token.of("ci", "a-very-secret-token", [LABEL]).entry()
    assert "a-very-secret-token" not in json.dumps(entry)
    assert parse_tokens(json.dumps([entry]), "there") == (Token.of("ci", "a-very-secret-token", [LABEL]),)


HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a: 1}", "expected a list"),
        ("- [", "line 1: not YAML"),
        ("- ci", "entry 1: expected exactly the keys"),
        ("- {name: ci, token: hunter2hunter2, scopes: [label]}", "homeostat token"),
        (f"- {{name: 'a b', sha256: {HASH}, scopes: [label]}}", "'name'"),
        ("- {name: ci, sha256: hunter2hunter2, scopes: [label]}", "not the token itself"),
        (f"- {{name: ci, sha256: {HASH}, scopes: [admin]}}", "found 'admin'"),
        (
            f"- {{name: ci, sha256: {HASH}, scopes: []}}",
            "expected a list of predict, label, read, control",
        ),
        (f"- {{name: ci, sha256: {HASH}, scopes: label}}", "expected a list of"),
        (
            f"- {{name: a, sha256: {HASH}, scopes: [label]}}\n- {{name: b, sha256: {HASH}, scopes: [label]}}",
            "entry 2: 'sha256'",
        ),
    ],
)
def test_an_invalid_list_is_an_error_with_entry_and_key_but_no_value(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_tokens(text, "tokens.yaml")
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr("homeostat.serving.auth.token_store.monotonic", fake)
    return fake


def token_store(tmp_path, **env):
    return TokenStore(Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path), **env}))


def written(path, *names):
    path.write_text(json.dumps([Token.of(name, f"secret-of-{name}", [LABEL]).entry() for name in names]))


def test_a_token_is_rotated_through_the_file_without_a_restart(tmp_path, clock):
    path = tmp_path / "tokens.yaml"
    written(path, "old")
    store = token_store(tmp_path, HOMEOSTAT_TOKENS_FILE=str(path), HOMEOSTAT_CONTROL_TOKEN="x" * 20)
    assert store.authorize("Bearer secret-of-old", LABEL).name == "old"
    new = tmp_path / "next"
    written(new, "old", "new")  # both, while clients change over
    new.replace(path)
    clock.now += CHECK_SECONDS
    assert store.authorize("Bearer secret-of-new", LABEL).name == "new"
    written(path, "new")
    clock.now += CHECK_SECONDS
    assert store.authorize("Bearer secret-of-old", LABEL).status == 403
    assert store.authorize("Bearer secret-of-new", LABEL).status == 200
    assert store.authorize(f"Bearer {'x' * 20}", LABEL).name == "operator"


@pytest.mark.parametrize("spoil", ["broken", "gone", "not text"])
def test_an_invalid_file_keeps_the_previous_tokens_and_is_reported(tmp_path, clock, caplog, spoil):
    path = tmp_path / "tokens.yaml"
    written(path, "ci")
    store = token_store(tmp_path, HOMEOSTAT_TOKENS_FILE=str(path))
    {
        "broken": lambda: path.write_text("- {name: ci, token: oh-no-in-the-clear}"),
        "gone": path.unlink,
        "not text": lambda: path.write_bytes(b"\xff\xfe\x00"),
    }[spoil]()
    for _ in range(5):
        clock.now += CHECK_SECONDS
        assert store.authorize("Bearer secret-of-ci", LABEL).status == 200
    assert "tokens.yaml" in store.error
    assert str(tmp_path) not in store.error
    logged = [r for r in caplog.records if "stay valid" in r.getMessage()]
    assert len(logged) == 1
    assert "oh-no" not in caplog.text
    written(path, "ci", "new")
    clock.now += CHECK_SECONDS
    assert store.authorize("Bearer secret-of-new", LABEL).status == 200
    assert store.error == ""


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HOMEOSTAT_TOKENS_FILE": "/nowhere/tokens.yaml"}, "cannot be read"),
        ({"HOMEOSTAT_TOKENS": "[1]"}, "HOMEOSTAT_TOKENS, entry 1"),
        ({"HOMEOSTAT_REQUIRE_TOKEN": "predict,lable"}, "'lable'"),
        (
            {
                "HOMEOSTAT_CONTROL_TOKEN": "x" * 20,
                "HOMEOSTAT_TOKENS": json.dumps([Token.of("operator", "another", [READ]).entry()]),
            },
            "rename one",
        ),
    ],
)
def test_invalid_token_settings_are_an_error_at_startup(tmp_path, env, words):
    with pytest.raises(ConfigError, match=words):
        token_store(tmp_path, **env)


def test_required_scopes(tmp_path):
    assert token_store(tmp_path).required == {CONTROL}
    assert token_store(tmp_path, HOMEOSTAT_CONTROL_TOKEN="x" * 20).required == {CONTROL}
    named = json.dumps([Token.of("ci", "secret", [READ]).entry()])
    assert token_store(tmp_path, HOMEOSTAT_TOKENS=named).required == {CONTROL, LABEL}
    required = token_store(tmp_path, HOMEOSTAT_REQUIRE_TOKEN="predict, read")
    assert required.required == {CONTROL, PREDICT, READ}
    # Required, but no token exists: closed, not open.
    assert required.authorize("Bearer x", PREDICT).status == 403


def test_a_short_control_token_is_warned_about(tmp_path, caplog):
    token_store(tmp_path, HOMEOSTAT_CONTROL_TOKEN="letmein")
    assert "can be guessed" in caplog.text
    assert "letmein" not in caplog.text


def test_new_tokens_are_long_and_all_different():
    made = {access.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert min(len(secret) for secret in made) >= 50
