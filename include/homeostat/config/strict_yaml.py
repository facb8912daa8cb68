"""YAML without aliases and duplicate keys, read with the line of every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from homeostat.config.errors import ConfigError
from homeostat.config.misread import find_misread

#: Lines by path of keys and indexes.
Positions = dict[tuple[str | int, ...], int]


class _Strict:
    """Refuses aliases (no alias bombs) and duplicate keys; goes before a loader's classes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):  # type: ignore[attr-defined]
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            msg = f"line {mark.line + 1}: YAML aliases (*name) are not accepted here: write the value out"
            raise ConfigError(msg)
        return super().compose_node(parent, index)  # type: ignore[misc, no-any-return]

    def construct_mapping(  # PyYAML's own signature
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[attr-defined]
            if isinstance(key, (str, int, float, bool)) and key in seen:
                msg = f"line {key_node.start_mark.line + 1}: duplicate key '{key}': keep one of them"
                raise ConfigError(msg)
            seen.add(key if isinstance(key, (str, int, float, bool)) else id(key_node))
        return super().construct_mapping(node, deep=deep)  # type: ignore[misc, no-any-return]


class _Loader(_Strict, yaml.SafeLoader):
    """PyYAML's own parser: everywhere, and its errors are the clearer ones."""


#: Characters, outside of lines that are comments, that the two parsers do not read alike everywhere: tabs,
#: tags, block scalars, explicit keys and markers of documents. Few model.yaml files have any.
_READ_OTHERWISE = re.compile(r"^(?! *#).*(?:[\t!|>?]|---)", re.MULTILINE)

_loaders: list[type[Any]] = [_Loader]
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _FastLoader(_Strict, Composer, CParser, SafeConstructor, Resolver):
        """Libyaml's parser, which takes a fifth of the time, below the same composer and constructor."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    _loaders.insert(0, _FastLoader)


def parse_yaml(text: str) -> tuple[Any, Positions]:
    """Return the value of a YAML document, and the line of every path in it.

    Raises
    ------
    ConfigError
        An alias, a key that is there twice, or a value that YAML reads otherwise than it is written; with
        its line.
    yaml.YAMLError
        Anything else that is not valid YAML.
    """
    if len(_loaders) > 1 and not _READ_OTHERWISE.search(text):
        try:
            return _parse(_loaders[0](text))
        except yaml.YAMLError:
            pass  # read again, for the message
    return _parse(_loaders[-1](text))


def _parse(loader: Any) -> tuple[Any, Positions]:
    try:
        node = loader.get_single_node()
        positions = dict(_lines(node, ())) if node is not None else {}
        if node is not None and (misread := list(find_misread(loader, node))):
            raise ConfigError("\n".join(misread))
        return (loader.construct_document(node) if node is not None else None), positions
    finally:
        loader.dispose()


def _lines(node: yaml.Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield each path with its line: that of the key, in a mapping."""
    yield path, node.start_mark.line + 1
    yield from _lines_below(node, path)


def _lines_below(node: yaml.Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines_below(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index))
