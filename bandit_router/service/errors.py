"""Every error leaves as ``{"error": {"type", "message", "field"?}}`` with the right status."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import HttpVersion11, hdrs, web

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
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "invalid_input",
    429: "rate_limited",
    500: "internal_error",
    502: "upstream_error",
    503: "unavailable",
    504: "deadline_exceeded",
}

_ANTHROPIC_PATH = "/v1/messages"
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
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
    headers
        Of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.headers = headers


class Unavailable(BanditRouterError):
    """Not ready yet, overloaded, or failed: the same request may succeed later."""


def described(error: Exception) -> tuple[int, Error]:
    """Return the status and the body for `error`; 500 and no detail if it is not ours."""
    field = getattr(error, "field", None)
    if isinstance(error, Refused):
        type_ = TYPES.get(error.status, TYPES[422])
        return error.status, _error(type_, str(error), field)
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


def respond(
    request: web.Request, status: int, error: Error, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return `error` as a response, in the words of the API that was asked."""
    out = dict(headers or {})
    if status == 503:
        out.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return web.Response(
        body=msgspec.json.encode(_in_the_words_of(request.path, status, error)),
        status=status,
        headers=out,
        content_type="application/json",
    )


def _in_the_words_of(path: str, status: int, error: Error) -> object:
    """Return an error of the gateway as the clients of its APIs expect it; others are ours."""
    if not path.startswith("/v1/"):
        return ErrorAnswer(error=error)
    ours = msgspec.to_builtins(error)
    if path.startswith(_ANTHROPIC_PATH):
        fallback = "invalid_request_error" if status < 500 else "api_error"
        type_ = _ANTHROPIC_TYPES.get(status, fallback)
        return {"type": "error", "error": {**ours, "type": type_, "code": error.type}}
    return {"error": {**ours, "code": error.type, "param": ours.get("field")}}


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
    described = _error(TYPES.get(status, "http_error"), message, None)
    return respond(request, status, described, headers)


async def go_ahead(request: web.Request) -> web.Response | None:
    """Tell a client that waits for it to send its body; refuse whatever else it expects."""
    if request.version < HttpVersion11:
        return None
    expected = request.headers[hdrs.EXPECT]
    if expected.lower() != "100-continue":
        message = f"Expect: only '100-continue' is known here, not {expected!r}"
        return respond(request, 417, _error(TYPES[417], message, None))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun
    return None


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
        return respond(request, status, body, getattr(error, "headers", None))
