"""token: a new token, and the entry by which the gateway knows it."""

from __future__ import annotations

import json

from homeostat.cli.console import print_json, say
from homeostat.config.errors import ConfigError
from homeostat.serving.auth.tokens import Token, new_secret, parse_scopes, parse_tokens


def make_token(name: str, scopes: list[str], *, as_json: bool) -> None:
    """Print a token that was kept nowhere and its entry; ConfigError for a name or scope that is none."""
    secret = new_secret()
    token = Token.of(name, secret, parse_scopes(scopes, "--scope"))
    try:
        parse_tokens(json.dumps([token.entry()]), "entry")
    except ConfigError:
        cure = "letters, digits, '.', '_' and '-', at most 64, such as labels-job"
        msg = f"{name!r:.80} is no name for a token: {cure}"
        raise ConfigError(msg) from None
    if as_json:
        print_json({"token": secret, "entry": token.entry()})
        return
    say("The token, for whoever is to hold it; it is kept nowhere and shown only now:")
    say(f"  {secret}")
    say("Its entry, for the file that HOMEOSTAT_TOKENS_FILE names; running gateways read it within a second:")
    scope_list = ", ".join(sorted(token.scopes))
    entry = f'- {{name: {name}, sha256: "{token.digest.hex()}", scopes: [{scope_list}]}}'
    say(entry)
