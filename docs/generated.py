"""The pages of the site that the program writes itself: its commands and its HTTP API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; called by mkdocs."""
    pages = {"reference/commands.md": commands(), "reference/http.md": http()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Name files of the repository that a page links to; called by mkdocs."""
    above = (DOCS / page.file.src_uri).parent.parent

    def named(link: re.Match[str]) -> str:
        text, path = link.groups()
        target = (above / path).resolve()
        if not target.exists():
            raise PluginError(f"a page links to {path}, which is not there")
        return link[0] if target.is_relative_to(DOCS) else f"{text} (`{target.relative_to(ROOT)}`)"

    return _OUTSIDE.sub(named, markdown)


def commands() -> str:
    """Return every command's own `--help`."""
    from bandit_router.cli import main

    parts = [
        "# Commands",
        "What `bandit-router COMMAND --help` prints. Exit codes are 0, 1 (failed) and 2 (bad "
        "usage); progress goes to standard error.",
    ]
    for name, context in _contexts(main, "bandit-router", None):
        parts += [f"## {name}", f"```text\n{context.get_help()}\n```"]
    return "\n\n".join(parts)


def _contexts(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Context]]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=90)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _contexts(found, child, context)
    else:
        yield context.command_path, context


def http() -> str:
    """Return the OpenAPI document as a page."""
    from bandit_router.service.app import OPERATIONS
    from bandit_router.service.openapi import document
    from bandit_router.service.version import version

    api = document(OPERATIONS, version=version())
    parts = [
        "# HTTP API",
        "The same is served by every service as `/openapi.json`, for client generators. Errors "
        'are `{"error": {"type", "message", "field"?}}`.',
    ]
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            parts += [f"## {method.upper()} {path}", *_operation(operation)]
    parts.append("## Schemas")
    for name, schema in sorted(api["components"]["schemas"].items()):
        parts += [f"### {name}", *_schema(schema)]
    return "\n\n".join(parts)


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield operation["summary"]
    if "description" in operation:
        yield operation["description"]
    if "requestBody" in operation:
        yield f"**Takes** {_type(_content(operation['requestBody']))}"
    if parameters := operation.get("parameters"):
        rows = [f"| `{p['name']}` | {p['in']} | {p['description']} |" for p in parameters]
        yield "\n".join(["| parameter | in | |", "|---|---|---|", *rows])
    answers = operation["responses"]
    good = [status for status in answers if status < "400"]
    for status in good:
        schema = _content(answers[status])
        yield f"**Answers** {status}" + (f" {_type(schema)}" if schema else "")
    refusals = [f"{s} {a['description']}" for s, a in answers.items() if s not in good]
    if refusals:
        yield f"**Refuses with** {', '.join(refusals)}"


def _content(holder: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _schema(schema: dict[str, Any]) -> Iterator[str]:
    if "description" in schema:
        yield schema["description"]
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_cell(_type(field))} | {'yes' if name in required else ''} |"
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield "\n".join(["| field | type | required |", "|---|---|---|", *rows])


def _type(schema: dict[str, Any] | bool) -> str:
    if isinstance(schema, bool):
        return "anything"
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value!r}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}" if "items" in schema else "array"
    limits = ", ".join(
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("minLength", "characters from"),
            ("maxLength", "characters to"),
        )
        if key in schema
    )
    kind = str(schema.get("type", "anything"))
    return f"{kind} ({limits})" if limits else kind


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
