"""Addresses of models in MLflow."""

from __future__ import annotations

import re

from homeostat.config.errors import ConfigError

#: By form: a version, an alias, a logged model, a model of a run.
FORMS = {
    "version": re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)"),
    "alias": re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)"),
    "logged": re.compile(r"models:/(?P<id>m-[0-9a-f]+)"),
    "run": re.compile(r"runs:/(?P<run>\w+)/(?P<path>[\w./ -]+)"),
}


def check_model_uri(uri: str) -> tuple[str, dict[str, str]]:
    """Return the form of an address and its parts; ConfigError for what is none."""
    for form, pattern in FORMS.items():
        found = pattern.fullmatch(uri)
        if found and ".." not in uri:
            return form, found.groupdict()
    msg = (
        f"model_uri is {uri[:200]!r}: write models:/NAME/7, models:/NAME@ALIAS, models:/m-ID or "
        "runs:/RUN_ID/NAME, as MLflow shows them; a file elsewhere must be logged in MLflow first"
    )
    raise ConfigError(msg)
