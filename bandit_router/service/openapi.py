"""What each endpoint is, once: the routes and the OpenAPI 3.1 document are made from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from ..store.keys import Scope
from .wire import ErrorAnswer, FeedbackRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REF = "#/components/schemas/{name}"
_WITH_BODY = (400, 408, 413, 415, 422)
_WITH_KEYS = (401, 403, 429, 503)


class Parameter(msgspec.Struct, frozen=True):
    """A part of the path or of the query."""

    name: str
    description: str
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})
    where: str = "query"


class Link(msgspec.Struct, frozen=True):
    """What an answer leads on to: a field of it is what another endpoint takes.

    Parameters
    ----------
    operation
        Name of the other endpoint's handler.
    field
        Of this answer, as a JSON pointer without its first slash.
    parameter
        That it becomes in the other's path; None: the field of that name in its body.
    """

    operation: str
    field: str
    parameter: str | None = None

    def described(self) -> dict[str, Any]:
        """Return the link as OpenAPI writes it."""
        value = f"$response.body#/{self.field}"
        given: dict[str, Any] = {"operationId": self.operation}
        if self.parameter is None:
            return {**given, "requestBody": {self.field: value}}
        return {**given, "parameters": {self.parameter: value}}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint.

    Parameters
    ----------
    method, path
        As aiohttp's router takes them.
    handler
        Answers it.
    summary
        One line for the reader of the API.
    answer
        The struct it answers with; None for no JSON of ours.
    status
        Of that answer.
    body
        The struct it takes; None for none.
    errors
        Statuses it can give beside 405 and those that any body brings (400, 413, 415, 422).
    parameters
        Those of the query; those of the path are found in it.
    scopes
        An API key needs one of these, once there are keys; none: open to everybody.
    links
        What its answer leads on to.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    body: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    scopes: tuple[Scope, ...] = ("admin",)
    links: tuple[Link, ...] = ()

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it: ``{name:.+}`` is ``{name}``."""
        return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", self.path)

    @property
    def statuses(self) -> list[int]:
        """Every status it can give, the good one first."""
        bad = {405, 503, *self.errors, *(_WITH_BODY if self.body else ())}
        bad |= set(_WITH_KEYS if self.scopes else ())
        return [self.status, *sorted(bad)]


def document(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `operations`."""
    structs = _structs(operations)
    refs, components = msgspec.json.schema_components(structs, ref_template=_REF)
    schemas = dict(zip(structs, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, schemas)
        paths.setdefault(operation.template, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bandit-router",
            "version": version,
            "description": "Routes each prompt to a model, and learns from feedback.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _structs(operations: Iterable[Operation]) -> list[Any]:
    found: list[Any] = [ErrorAnswer, FeedbackRequest]
    for operation in operations:
        found += [s for s in (operation.body, operation.answer) if s and s not in found]
    return found


def _described(operation: Operation, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    in_path = re.findall(r"\{(\w+)\}", operation.template)
    parameters = [
        *(Parameter(name, f"The {name} of the resource.", where="path") for name in in_path),
        *operation.parameters,
    ]
    out: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "responses": {
            str(status): _response(status, operation, schemas) for status in operation.statuses
        },
    }
    if operation.scopes:  # without any key in the database, none is asked for
        needed = " or ".join(operation.scopes)
        out["description"] = f"With API keys configured: needs one of scope {needed}."
        out["security"] = [{}, {"key": []}]
    if parameters:
        out["parameters"] = [_parameter(p) for p in parameters]
    if operation.body:
        out["requestBody"] = {"required": True, "content": _json(schemas[operation.body])}
    return out


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _response(
    status: int, operation: Operation, schemas: dict[Any, dict[str, Any]]
) -> dict[str, Any]:
    out: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status == operation.status:
        schema = schemas[operation.answer] if operation.answer else {"type": "object"}
        links = {link.operation: link.described() for link in operation.links}
        return {**out, "content": _json(schema), **({"links": links} if links else {})}
    out["content"] = _json(schemas[ErrorAnswer])
    if status in (429, 503):
        out["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
    return out


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
