"""``GET /docs``: every endpoint on one page for people, made from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from aiohttp import web

from ..keys import OPENAPI
from .assets import HEADERS

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>bandit-router: the API</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/map/style.css">
<body class="reference"><main><h1>The API</h1>
<p><a href="/map">The map</a> · <a href="/openapi.json">the same as OpenAPI</a></p>
"""


async def reference(request: web.Request) -> web.Response:
    """Answer with the page."""
    page = as_html(request.app[OPENAPI])
    return web.Response(text=page, content_type="text/html", headers=HEADERS)


def as_html(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as a page."""
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(f"{method.upper()} {path}", operation))
    parts.append("<h2>Objects</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(_object(name, schema))
    return "\n".join([*parts, "</main></body></html>"])


def _operation(title: str, operation: dict[str, Any]) -> str:
    out = [f"<h2><code>{escape(title)}</code></h2><p>{escape(operation['summary'])}</p>"]
    if "description" in operation:
        out.append(f"<p>{escape(operation['description'])}</p>")
    rows = [
        (p["name"], p["in"], p["description"], _type(p["schema"]))
        for p in operation.get("parameters", ())
    ]
    if rows:
        out.append(_table(("parameter", "in", "what", "type"), rows))
    if "requestBody" in operation:
        out.append(f"<p>Takes {_schema_of(operation['requestBody'])}.</p>")
    answers = [
        f"<code>{status}</code> {escape(answer['description'])}"
        + (f": {_schema_of(answer)}" if status < "300" else "")
        for status, answer in operation["responses"].items()
    ]
    return "".join([*out, f"<p>Answers {'; '.join(answers)}.</p>"])


def _object(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (field, _type(kind), "yes" if field in required else "no")
        for field, kind in schema.get("properties", {}).items()
    ]
    head = f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
    told = f"<p>{escape(schema.get('description', ''))}</p>"
    return head + told + (_table(("field", "type", "required"), rows) if rows else "")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table class="wide"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _schema_of(holder: dict[str, Any]) -> str:
    content = holder.get("content", {}).get("application/json")
    if content is None:
        return "nothing"
    name = _type(content["schema"])
    known = "$ref" in content["schema"]
    return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>' if known else escape(name)


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"array of {_type(schema.get('items') or {})}"
    limits = [f"{word} {schema[key]}" for key, word in _LIMITS.items() if key in schema]
    return " ".join([kind, *limits])


_LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}
