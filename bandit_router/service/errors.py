"""Every error leaves as ``{"error": {"type", "message", "field"?}}`` with the right status."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from ..exceptions import (
    BanditRouterError,
    InvalidInput,
    NoEligibleArm,
    StoreError,
    UnknownDecision,
    UnknownModel,
)
from .wire import Error, ErrorAnswer

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "1"

TYPES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "invalid_input",
    500: "internal_error",
    502: "upstream_error",
    503: "unavailable",
}


class Refused(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        Of the answer.
    message
        What is wrong and how to mend it.
    field
        The offending field, if there is one.
    """

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class Unavailable(BanditRouterError):
    """Not ready yet, overloaded, or failed: the same request may succeed later."""


def described(error: Exception) -> tuple[int, Error]:
    """Return the status and the body for `error`; 500 and no detail if it is not ours."""
    field = getattr(error, "field", None)
    if isinstance(error, Refused):
        return error.status, _error(TYPES[error.status], str(error), field)
    if isinstance(error, UnknownDecision):
        return 404, _error("unknown_decision", str(error), "decision_id")
    if isinstance(error, InvalidInput):
        return 422, _error(_kind(error), str(error), field)
    if isinstance(error, StoreError | Unavailable):
        return 503, _error(TYPES[503], str(error), None)
    return 500, _error(TYPES[500], "something went wrong inside; the server's log says what", None)


def _kind(error: InvalidInput) -> str:
    if isinstance(error, UnknownModel):
        return "unknown_model"
    return "no_eligible_arm" if isinstance(error, NoEligibleArm) else TYPES[422]


def _error(type_: str, message: str, field: str | None) -> Error:
    # A message may quote the caller, whose bytes need not be Unicode.
    clean = message.encode("utf-8", "replace").decode()
    return Error(type=type_, message=clean, field=field or msgspec.UNSET)


def respond(status: int, error: Error, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `error` as a response."""
    out = dict(headers or {})
    if status == 503:
        out.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return web.Response(
        body=msgspec.json.encode(ErrorAnswer(error=error)),
        status=status,
        headers=out,
        content_type="application/json",
    )


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    status = error.status
    headers: dict[str, str] = {}
    if isinstance(error, web.HTTPNotFound):
        message = f"there is nothing at {request.path}"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        message = f"{request.path} does not take {request.method}, only {headers['Allow']}"
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        message = f"the body is larger than server.max_body_bytes, {request.client_max_size:,}"
    else:
        message = error.text or error.reason
    return respond(status, _error(TYPES.get(status, "http_error"), message, None), headers)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a JSON error; a client never sees a stack trace."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _of_http(request, error)
    except Exception as error:
        status, body = described(error)
        if status == 500:
            log.exception("%s %s failed", request.method, request.path)
        return respond(status, body)
