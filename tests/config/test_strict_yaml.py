"""The fast parser of YAML reads the same as the slow one, with the same lines and the same errors."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import strict_yaml
from homeostat.config.errors import ConfigError

MODELS = Path(__file__).parents[2] / "include" / "models"
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner)),
    max_leaves=20,
)


def outcome(loaders, text):
    """Return what these loaders make of a text: value and lines, or the kind and text of its error."""
    before, strict_yaml._loaders = strict_yaml._loaders, loaders
    try:
        return strict_yaml.parse_yaml(text)
    except (ConfigError, yaml.YAMLError) as error:
        return type(error), str(error)
    finally:
        strict_yaml._loaders = before


def both(text):
    fast, slow = strict_yaml._loaders
    return outcome([fast, slow], text), outcome([slow], text)


def test_the_fast_parser_is_there():
    assert [loader.__name__ for loader in strict_yaml._loaders] == ["_FastLoader", "_Loader"]


@given(VALUES, st.booleans())
def test_whatever_yaml_can_write_is_read_the_same(value, flow):
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    fast, slow = both(text)
    assert fast == slow


@given(st.text("ab:- {}[],'\"\n\t#|>&*!%@`?~1.", max_size=60))
def test_whatever_is_no_yaml_has_the_same_error(text):
    fast, slow = both(text)
    assert fast == slow


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/*.yaml")), ids=lambda path: "/".join(path.parts[-2:]))
def test_the_examples_are_read_the_same(path):
    fast, slow = both(path.read_text(encoding="utf-8"))
    assert fast == slow
    assert isinstance(fast[0], dict)
