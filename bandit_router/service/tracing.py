"""OpenTelemetry traces, where its packages are installed (the extra ``otel``).

A request is a server span; every call of a model below it is a client span that speaks the GenAI
semantic conventions (status: development, November 2026). Spans carry ids, names, counts and
times; never a prompt or an answer. Without the packages, or with no exporter configured, nothing
is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from aiohttp import web

from ..types import Decision, Outcome
from .version import version

try:
    from opentelemetry import propagate, trace
except ImportError:  # the extra is not installed
    trace = None  # type: ignore[assignment]

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
DECISION = "bandit_router.decision.id"
CLUSTER = "bandit_router.cluster"
PROPENSITY = "bandit_router.propensity"
COST = "bandit_router.cost_usd"
NAME = "bandit_router"


class Span:
    """A span, or nothing."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def finish(self, status: int, decision: str | None) -> None:
        """Note how the request ended."""
        if self._span is None:
            return
        self._span.set_attribute("http.response.status_code", status)
        if decision is not None:
            self._span.set_attribute(DECISION, decision)
        if status >= 500:
            self._span.set_status(trace.StatusCode.ERROR)


@contextmanager
def request(request: web.Request, route: str) -> Iterator[Span]:
    """Trace an HTTP request."""
    context = propagate.extract(request.headers)
    attributes = {"http.request.method": request.method, "http.route": route}
    with trace.get_tracer(NAME, version()).start_as_current_span(
        f"{request.method} {route}",
        context=context,
        kind=trace.SpanKind.SERVER,
        attributes=attributes,
    ) as span:
        yield Span(span if span.is_recording() else None)


def wanted() -> bool:
    """Tell whether anybody receives spans."""
    return _received(int(time.monotonic()))


@lru_cache(1)
def _received(second: int) -> bool:
    """Whether there is a provider and no stand-in for one, looked up once a second."""
    return trace is not None and not isinstance(
        trace.get_tracer_provider(), trace.ProxyTracerProvider
    )


def model_call(outcome: Outcome, decision: Decision | None) -> None:
    """Trace a call of a model that has just ended, as a child of the request's span."""
    if trace is None or not trace.get_current_span().is_recording():
        return
    now = time.time_ns()
    begun = now - round(1e6 * (outcome.latency_ms or 0.0))
    span = trace.get_tracer(NAME, version()).start_span(
        f"chat {outcome.model}",
        kind=trace.SpanKind.CLIENT,
        start_time=begun,
        attributes=_attributes(outcome, decision),
    )
    if outcome.error:
        span.set_status(trace.StatusCode.ERROR, outcome.error[:200])
    span.end(now)


def _attributes(outcome: Outcome, decision: Decision | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        OPERATION: "chat",
        PROVIDER: "bandit_router",
        REQUEST_MODEL: outcome.model,
        RESPONSE_MODEL: outcome.model,
        INPUT_TOKENS: outcome.prompt_tokens,
        OUTPUT_TOKENS: outcome.completion_tokens,
        COST: outcome.cost_usd,
        "server.address": outcome.endpoint,
        "error.type": "upstream" if outcome.error else None,
    }
    if decision is not None:
        found |= {
            DECISION: decision.decision_id,
            CLUSTER: decision.cluster,
            PROPENSITY: decision.propensity,
        }
    return {key: value for key, value in found.items() if value is not None}


def configure_tracing() -> bool:
    """Export spans by OTLP if the environment says where to (``OTEL_EXPORTER_OTLP_ENDPOINT``).

    Returns
    -------
    bool
        Whether it does.

    Raises
    ------
    ImportError
        If it says so, and the packages are not installed.
    """
    if not any(
        os.environ.get(name)
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    ):
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", NAME)})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True
