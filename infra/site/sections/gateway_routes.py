"""Every path of the gateway, from its OpenAPI description."""

from __future__ import annotations

import json
from typing import Any

from example_gateway import runtime
from md_tables import table

from homeostat.serving.http import control_api
from homeostat.serving.http.protocols.openapi import _scope
from homeostat.serving.http.protocols.response_schemas import ERRORS

_WHO = {
    "control": "always",
    "label": "where `HOMEOSTAT_REQUIRE_TOKEN` lists `label`, and as soon as there are named tokens",
}


def section() -> str:
    """Return a chapter for each group of paths, and one for the errors."""
    document = control_api.build(runtime()).openapi()
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["status"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation, document))
    chapters = "".join(f"\n## {tag.capitalize()}\n\n" + "\n".join(parts) for tag, parts in groups.items())
    errors = table(("status", "meaning"), [(status, ERRORS[status]) for status in sorted(ERRORS)])
    keys = ", ".join(f"`{name}`" for name in _properties({"$ref": "ErrorResponse"}, document))
    return (
        f"{chapters}\n## Errors\n\nThe response of each has the keys {keys}, with one sentence.\n\n{errors}"
    )


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    scope = _scope(path, method)
    parts = [f"### `{method.upper()} {path}`\n", f"{operation['summary'].rstrip('.')}.", ""]
    if scope:
        who = _WHO.get(scope, f"where `HOMEOSTAT_REQUIRE_TOKEN` lists `{scope}`")
        parts += [f"A token with scope `{scope}` is needed {who}.", ""]
    asked = [each for each in operation.get("parameters", ()) if each["in"] != "path"]
    if asked:
        rows = [(f"`{each['name']}`", each["in"], each.get("description", "")) for each in asked]
        parts += [table(("parameter", "in", "meaning"), rows)]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts += [_body(kind, content, document), ""]
    success = operation["responses"]["200"]
    fields = ", ".join(f"`{name}`" for name in _fields(success, document))
    headers = ", ".join(f"`{name}`" for name in success.get("headers", {}))
    parts += [f"Response 200{f' with the keys {fields}' if fields else ''}.", ""]
    if headers:
        parts += [f"Headers of the response: {headers}.", ""]
    errors = ", ".join(f"{status}" for status in sorted(operation["responses"]) if status != "200")
    return "\n".join([*parts, f"Errors: {errors}.", ""])


def _body(kind: str, content: dict[str, Any], document: dict[str, Any]) -> str:
    examples = [each["value"] for each in content.get("examples", {}).values()]
    if examples:
        text = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0], indent=2)
        language = "json" if kind.endswith("json") else "text"
        return f"Body, `{kind}`, for example:\n\n```{language}\n{text.strip()}\n```\n"
    fields = ", ".join(f"`{name}`" for name in _properties(content.get("schema", {}), document))
    return f"Body, `{kind}`, with the keys {fields}.\n"


def _fields(response: dict[str, Any], document: dict[str, Any]) -> list[str]:
    for content in response.get("content", {}).values():
        return _properties(content.get("schema", {}), document)
    return []


def _properties(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return the keys of a schema, through references and alternatives."""
    if "$ref" in schema:
        return _properties(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    found = list(schema.get("properties", {}))
    for each in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        found += [name for name in _properties(each, document) if name not in found]
    return found
