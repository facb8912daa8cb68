"""Find what YAML reads otherwise than it is written: NO is a boolean, 007 is seven, 1.10 is 1.1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from homeostat.config.label_text import class_name, label_text

#: Keys whose lists hold what the data spells, where YAML must not read anything else.
_SPELLED = ("categories", "classes", "value_set")


def find_misread(loader: yaml.SafeLoader, node: yaml.Node, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a sentence, with line and key, for what YAML reads otherwise than it is written.

    It reads ``on`` as a boolean even where it is a key, and ``007`` in a list of categories as seven.
    """
    if isinstance(node, yaml.SequenceNode):
        if _is_spelled(path) and (found := _misread_words(loader, node.value)):
            written = f"[{', '.join(_quoted(item, item in found) for item in node.value)}]"
            yield _misread_sentence(path, found, written)
        for index, value in enumerate(node.value):
            yield from find_misread(loader, value, (*path, str(index)))
    elif isinstance(node, yaml.MappingNode):
        if path[-2:] == ("label", "mapping"):
            words = [word for pair in node.value for word in pair]
            if found := _misread_words(loader, words):
                pairs = (": ".join(_quoted(word, word in found) for word in pair) for pair in node.value)
                yield _misread_sentence(path, found, f"{{{', '.join(pairs)}}}")
        else:
            yield from _misread_keys(loader, node, path)
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner[-2:] == ("label", "positive") and (found := _misread_words(loader, [value])):
                yield _misread_sentence(inner, found, _quoted(value, wrong=True))
            yield from find_misread(loader, value, inner)


def _is_spelled(path: tuple[str, ...]) -> bool:
    """Whether a list holds what the data spells; in ``monitor.slices`` at ``slices.0.plan``."""
    return bool(path) and (path[-1] in _SPELLED or path[-3:-2] == ("slices",))


def _misread_keys(loader: yaml.SafeLoader, node: yaml.MappingNode, path: tuple[str, ...]) -> Iterator[str]:
    """Find keys that are not text for YAML: ``on`` is a boolean, ``2024`` a number."""
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and (read := _other_type(loader, key)):
            line, text = key.start_mark.line + 1, key.value
            yield (
                f"line {line}, {'.'.join((*path, text))}: YAML reads the unquoted name {text or 'nothing'} "
                f"as {read}: quote it, as in '{text}': ..."
            )


def _misread_words(loader: yaml.SafeLoader, nodes: Sequence[yaml.Node]) -> dict[yaml.Node, str]:
    """Return by node what YAML reads where that is another category than the text: 7 for ``007``.

    ``true`` and ``3.0`` are the same category either way, ``yes`` and ``1.10`` are not.
    """
    found: dict[yaml.Node, str] = {}
    for node in nodes:
        read = _other_type(loader, node) if isinstance(node, yaml.ScalarNode) else ""
        if read and not _same_category(node.value, loader.construct_object(node)):
            found[node] = read
    return found


def _other_type(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """Return in words what YAML reads instead of this text; "" for text, quoted or not."""
    kind = node.tag.rpartition(":")[2]
    if node.style or kind not in ("bool", "null", "int", "float", "timestamp"):
        return ""
    value = loader.construct_object(node)
    if value is None:
        return "null"
    if kind == "bool":
        return f"the boolean {str(value).lower()}"
    if kind == "timestamp":
        return "a time" if isinstance(value, datetime) else "a date"
    return f"the number {value}"


def _same_category(text: str, value: Any) -> bool:
    try:
        return class_name(value) == label_text(text)
    except ValueError:
        return False


def _quoted(node: yaml.Node, wrong: bool) -> str:  # noqa: FBT001
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else "..."
    return f"'{text}'" if wrong or getattr(node, "style", None) else text


def _misread_sentence(path: tuple[str, ...], found: Mapping[yaml.Node, str], written: str) -> str:
    line = next(iter(found)).start_mark.line + 1
    read = ", ".join(f"{node.value or 'nothing'} as {meant}" for node, meant in found.items())
    sentence = (
        f"line {line}, {'.'.join(path)}: YAML reads unquoted {read}: quote what is text, as in {written}"
    )
    booleans = any("boolean" in meant for meant in found.values())
    return f"{sentence}; write true and false for booleans" if booleans else sentence
