"""token: create a gateway token and its entry for the tokens file."""

from __future__ import annotations

import json

from homeostat.cli.console import print_json, say
from homeostat.config.errors import ConfigError
from homeostat.serving.auth.tokens import Token, new_secret, parse_scopes, parse_tokens


def make_token(name: str, scopes: list[str], *, as_json: bool) -> None:
    """Print a new token, which is not stored, and its entry; ConfigError for an invalid name or scope."""
    secret = new_secret()
    token = Token.of(name, secret, parse_scopes(scopes, "--scope"))
    try:
        parse_tokens(json.dumps([token.entry()]), "entry")
    except ConfigError:
        rule = "use letters, digits, '.', '_' and '-', at most 64, such as labels-job"
        msg = f"{name!r:.80} is not a valid token name: {rule}"
        raise ConfigError(msg) from None
    if as_json:
        print_json({"token": secret, "entry": token.entry()})
        return
    say("The token; it is not stored and shown only now:")
    say(f"  {secret}")
    say("Its entry for the file in HOMEOSTAT_TOKENS_FILE; running gateways read it within a second:")
    scope_list = ", ".join(sorted(token.scopes))
    entry = f'- {{name: {name}, sha256: "{token.digest.hex()}", scopes: [{scope_list}]}}'
    say(entry)
