"""What is told of every request: metrics, one line of log, a span.

A line names the decision, so that a log, a trace and ``GET /decisions/{id}`` can be laid side by
side; never a prompt, never a key.
"""

from __future__ import annotations

import logging
import logging.config
import secrets
from collections.abc import Awaitable
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from ..absent import absent
from . import tracing
from .gateway.record import DECISION
from .keys import DECISION_ID, TENANT
from .metrics import Metrics

with absent("rich"):  # 3 MB
    import structlog
    import structlog.tracebacks

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds by machines: counted, but neither logged nor traced."""

log = logging.getLogger("bandit_router.request")

_GONE = 499
"""The status of a request whose client left before there was an answer."""


def observed(metrics: Metrics) -> Middleware:
    """Return the outermost middleware: it sees every answer, also a refusal."""

    @web.middleware
    def observe(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        route = _route(request)
        if route in QUIET or not tracing.wanted():
            return told(request, handler, route)
        return traced(request, handler, route)

    async def traced(request: web.Request, handler: Handler, route: str) -> web.StreamResponse:
        with tracing.request(request, route) as span:
            return await told(request, handler, route, span)

    async def told(
        request: web.Request, handler: Handler, route: str, span: tracing.Span | None = None
    ) -> web.StreamResponse:
        start, response = perf_counter(), None
        try:
            response = await handler(request)
            return response
        finally:
            seconds = perf_counter() - start
            status = _GONE if response is None else response.status
            metrics.traffic.count(_method(request), route, status, seconds)
            level = logging.ERROR if status >= 500 else logging.INFO
            logged = route not in QUIET and log.isEnabledFor(level)
            if logged or span is not None:
                decision = None if response is None else _decision(request, response)
                if span is not None:
                    span.finish(status, decision)
                if logged:
                    facts = _facts(request, route, status, seconds, decision)
                    log.log(level, "request", extra=facts)

    return observe


def _decision(request: web.Request, response: web.StreamResponse) -> str | None:
    """Return the id of the decision that a request was about, if it was about one."""
    found: str | None = response.headers.get(DECISION) or request.get(DECISION_ID)
    return found


def _facts(
    request: web.Request, route: str, status: int, seconds: float, decision: str | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": _method(request),
        "route": route,
        "status": status,
        "ms": round(1000.0 * seconds, 2),
        "request_id": request.headers.get("x-request-id", "")[:64] or secrets.token_hex(8),
    }
    if decision is not None:
        facts["decision_id"] = decision
    if (tenant := request.app.get(TENANT)) is not None:
        facts["tenant"] = tenant
    return facts


def _printable(_: object, __: str, event: Any) -> Any:
    """Escape what would begin a line of its own or drive a terminal: clients may have said it."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return event


class _Unread(logging.Filter):
    """Tells that a request was no HTTP, but not what it held: an API key may be among it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all else pass."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        log.info("a request could not be read: %s", type(error).__name__)
        return False


def _route(request: web.Request) -> str:
    """The route's template: as many as there are routes, whatever paths are asked for."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _method(request: web.Request) -> str:
    known = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return request.method if request.method in known else "other"


def configure_logging(form: str, level: str) -> None:
    """Let the whole process log to standard error, as lines of ``text`` or of ``json``."""
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        last: list[Any] = [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),  # locals hold prompts
            structlog.processors.JSONRenderer(),
        ]
    else:
        plain = structlog.dev.plain_traceback  # another may show locals, and they hold prompts
        last = [_printable, structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "lines": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *last,
                    ],
                    "foreign_pre_chain": shared,
                }
            },
            "filters": {"unread": {"()": _Unread}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "loggers": {
                "bandit_router": {
                    "level": level.upper(),
                    "handlers": ["stderr"],
                    "propagate": False,
                },
                "aiohttp.server": {"filters": ["unread"]},
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
        }
    )
