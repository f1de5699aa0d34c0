"""Metrics, logs and traces say what happened, in bounded words."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from bandit_router.service import tracing
from bandit_router.service.metrics import Bounded, Metrics
from bandit_router.service.telemetry import configure_logging, observed
from bandit_router.service.traffic import STEPS, Traffic
from bandit_router.types import Outcome

OF_REPLICAS = {f"bandit_router_{name}" for name in ("stale", "state_age_seconds", "outbox_events")}
DOCS = Path(__file__).parent.parent.parent / "docs"


async def scraped(client):
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert answer.content_type == "text/plain"
    families = text_string_to_metric_families(await answer.text())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples.get((f"bandit_router_{name}", tuple(sorted(labels.items()))))


def total(samples, name):
    return sum(v for (n, _), v in samples.items() if n == f"bandit_router_{name}")


async def test_what_happened_is_counted(client):
    for i in range(5):
        asked = await client.post("/route", json={"prompt": f"sort list {i}"})
        found = await asked.json()
        said = {"decision_id": found["decision_id"], "reward": 0.5, "cost_usd": 0.25}
        await client.post("/feedback", json=said)
        await client.post("/feedback", json=said)  # a duplicate is no feedback
    samples = await scraped(client)
    assert total(samples, "decisions_total") == 5
    assert value(samples, "feedback_total", source="user") == 5
    assert total(samples, "reward_count") == 5
    assert total(samples, "reward_sum") == pytest.approx(2.5)
    assert total(samples, "cost_usd_total") == pytest.approx(1.25)
    for cost in (0.45, 0.4):  # the last decision's bill is put right: what it adds counts
        await client.post("/feedback", json={**said, "cost_usd": cost})
    assert total(await scraped(client), "cost_usd_total") == pytest.approx(1.45)
    assert value(samples, "lineage_events_total", what="born") >= 1
    assert value(samples, "http_requests_total", method="POST", route="/route", status="200") == 5
    assert value(samples, "http_request_seconds_count", route="/feedback") == 10
    assert value(samples, "ready") == 1
    assert value(samples, "models", available="yes") == 2
    assert value(samples, "clusters", level="0") >= 1
    assert value(samples, "kill_switch") == 0


async def test_labels_do_not_grow_with_what_callers_send(client):
    for i in range(30):
        await client.get(f"/nothing/{i}")
        await client.get(f"/decisions/{i}")
        await client.request(f"VERB{i}", "/route")
    samples = await scraped(client)
    routes = {dict(labels).get("route") for name, labels in samples if "http_requests" in name}
    methods = {dict(labels).get("method") for name, labels in samples if "http_requests" in name}
    assert len(routes) < 8
    assert methods <= {"GET", "other", None}


def test_a_label_lets_only_so_many_values_through():
    label = Bounded(2)
    assert [label(v) for v in "abcab"] == ["a", "b", "other", "a", "b"]


async def test_every_metric_is_documented_and_the_other_way_round(client):
    await client.post("/route", json={"prompt": "a prompt"})
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    written = set(re.findall(r"`(bandit_router_\w+)", text))
    families = text_string_to_metric_families(await (await client.get("/metrics")).text())
    known = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if not family.name.endswith("_created")
    }
    known |= {"bandit_router_endpoint_open", *OF_REPLICAS}
    assert written == known


@pytest.mark.parametrize("name", ["grafana-dashboard.json", "alerts.yml"])
async def test_dashboard_and_alerts_name_only_metrics_there_are(client, name):
    text = (DOCS / "ops" / name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        board = json.loads(text)
        assert len(board["panels"]) >= 8
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    named = set(re.findall(r"bandit_router_\w+", text))
    assert named
    documented = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`(bandit_router_\w+)", documented))
    parts = {k + end for k in known for end in ("", "_sum", "_count", "_bucket")}
    assert named <= parts


@given(st.lists(st.one_of(st.sampled_from(STEPS), st.floats(0.0, 20.0)), max_size=40))
def test_requests_are_counted_as_prometheus_client_counts_them(spent):
    traffic, registry = Traffic("t"), CollectorRegistry()
    counted = Counter("t_http_requests", "", ["method", "route", "status"], registry=registry)
    timed = Histogram("t_http_request_seconds", "", ["route"], buckets=STEPS, registry=registry)
    for number, seconds in enumerate(spent):
        route, status = f"/{number % 2}", 200 + number % 3
        traffic.count("POST", route, status, seconds)
        counted.labels("POST", route, status).inc()
        timed.labels(route).observe(seconds)

    def samples(collector):
        return [
            (sample.name, sample.labels, sample.value)
            for family in collector.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]

    assert sorted(samples(traffic), key=str) == sorted(samples(registry), key=str)


@pytest.fixture
def lines():
    """Log as `serve` does; give back what has been written, one object a line."""
    names = ("", "bandit_router")
    before = [(logging.getLogger(n).level, logging.getLogger(n).handlers[:]) for n in names]
    propagate = logging.getLogger("bandit_router").propagate
    configure_logging("json", "info")
    out = io.StringIO()
    for handler in logging.getLogger("bandit_router").handlers:
        handler.setStream(out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    for name, (level, handlers) in zip(names, before, strict=True):
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers
    logging.getLogger("bandit_router").propagate = propagate


async def test_every_request_is_a_line_with_the_id_of_its_decision(client, lines):
    asked = await client.post("/route", json={"prompt": "a secret wish"})
    id_ = (await asked.json())["decision_id"]
    await client.post("/feedback", json={"decision_id": id_, "reward": 1})
    await client.get("/healthz")
    await client.get("/nowhere", headers={"x-request-id": "r-1"})
    routed, said, lost = lines()
    assert routed["event"] == "request"
    assert (routed["route"], routed["status"], routed["decision_id"]) == ("/route", 200, id_)
    assert (said["route"], said["decision_id"]) == ("/feedback", id_)
    assert (lost["status"], lost["request_id"], lost["level"]) == (404, "r-1", "info")
    assert "secret" not in json.dumps([routed, said, lost])


async def test_a_request_that_cannot_be_read_is_told_of_without_what_it_held(client, lines):
    for bad in (b"Authorization: Bearer br_a_secret\x00\r\n", b"X: br_a_secret" + b"x" * 9000):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /models HTTP/1.1\r\nHost: x\r\n" + bad + b"\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
    said = lines()
    assert [line["level"] for line in said] == ["info", "info"]
    assert all("could not be read" in line["event"] for line in said)
    assert "secret" not in json.dumps(said)


async def test_logs_of_any_part_are_json_too(lines):
    prompt = "a secret wish"
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("bandit_router.store").exception("it failed: %s", "here")
    [line] = lines()
    assert line["event"] == "it failed: here"
    assert line["exception"][0]["exc_value"] == "broken"
    assert line["logger"] == "bandit_router.store"
    assert prompt not in json.dumps(line["exception"])


def test_a_traceback_in_text_shows_no_value():
    code = (
        "import logging; from bandit_router.service.telemetry import configure_logging\n"
        "configure_logging('text', 'info')\n"
        "def route(prompt):\n    raise ValueError('broken')\n"
        "try:\n    route(' '.join(['a', 'secret']))\n"
        "except ValueError:\n    logging.getLogger('bandit_router.store').exception('it failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "it failed" in done.stderr
    assert "ValueError: broken" in done.stderr
    assert "a secret" not in done.stderr


def test_what_clients_say_begins_no_line_of_text_and_drives_no_terminal():
    code = (
        "import logging; from bandit_router.service.telemetry import configure_logging\n"
        "configure_logging('text', 'info')\n"
        "said = 'x\\x1b[2J\\x00\\n2026 [error] forged \\u202e é'\n"
        "logging.getLogger('bandit_router').info('of %s', said, extra={'decision_id': said})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    [line] = done.stderr.decode().splitlines()
    assert line.isprintable()
    assert r"of x\x1b[2J\x00\n2026 [error] forged \u202e é" in line


@pytest.fixture
def spans():
    """Keep the spans that are made from now on, to be read by `get_finished_spans`."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(kept))
    tracing._received.cache_clear()  # a test may have asked within the same second
    assert tracing.wanted()
    yield kept
    kept.shutdown()


async def test_a_request_is_logged_within_its_span_and_a_probe_has_none(spans):
    from opentelemetry import trace

    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append((record.route, trace.get_current_span().get_span_context().span_id))

    async def answer(request):
        return web.Response(status=int(request.query["status"]))

    app = web.Application(middlewares=[observed(Metrics())])
    app.router.add_get("/healthz", answer)
    app.router.add_get("/map", answer)
    handler, log = Handler(), logging.getLogger("bandit_router.request")
    level = log.level
    log.addHandler(handler)
    log.setLevel("INFO")
    try:
        async with TestClient(TestServer(app)) as client:
            for path in ("/healthz", "/map"):
                for status in (200, 503):
                    assert (await client.get(path, params={"status": status})).status == status
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    found = spans.get_finished_spans()
    assert seen == [("/map", span.context.span_id) for span in found]
    assert [span.attributes["http.response.status_code"] for span in found] == [200, 503]
    assert [span.status.is_ok for span in found] == [True, False]


def test_a_call_of_a_model_is_a_span_in_the_words_of_the_genai_conventions(spans):
    class Request:
        method = "POST"
        headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}  # noqa: RUF012

    seen = {"prompt_tokens": 12, "completion_tokens": 34, "latency_ms": 250.0}
    outcome = Outcome(seq=0, time=0.0, decision_id="d1", model="large", cost_usd=0.01, **seen)
    with tracing.request(Request(), "/v1/chat/completions") as span:
        tracing.model_call(outcome, None)
        span.finish(200, "d1")
    tracing.model_call(outcome, None)  # of a request that is not traced
    call, request = spans.get_finished_spans()
    assert (call.name, call.kind.name) == ("chat large", "CLIENT")
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.model"] == "large"
    assert call.attributes["gen_ai.usage.input_tokens"] == 12
    assert call.attributes["gen_ai.usage.output_tokens"] == 34
    assert call.end_time - call.start_time == pytest.approx(250e6)
    assert call.parent.span_id == request.context.span_id
    assert request.parent.span_id == int("b" * 16, 16)
    assert request.attributes["bandit_router.decision.id"] == "d1"
    assert request.attributes["http.route"] == "/v1/chat/completions"
