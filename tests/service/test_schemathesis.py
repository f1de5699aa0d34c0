"""Requests made from the API's own description, valid and broken, against a live server.

`make hostile` makes thousands of them: ``HOSTILE=50`` is how many times as many as in every run.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bandit_router.service import create_app
from bandit_router.service.app import OPERATIONS

from .conftest import config

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TIMES = int(os.environ.get("HOSTILE", "1"))
MANY = settings(
    max_examples=40 * TIMES,
    deadline=None,
    database=None,
    derandomize=TIMES == 1,
    suppress_health_check=list(HealthCheck),
)
PLAIN = [o for o in OPERATIONS if o.path not in ("/metrics", "/events")]


class Live:
    """A server on a thread of its own, so that any client may call it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")

    def seq(self) -> int:
        """How long the log is."""
        found: int = self.session.get(f"{self.url}/readyz").json()["seq"]
        return found


@contextmanager
def serving(db: Path, **options) -> Iterator[Live]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    app = create_app(config(embedder={"name": "none"}), db=db, **options)
    server = TestServer(app)
    asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(30)
    live = Live(str(server.make_url("")).rstrip("/"))
    try:
        yield live
    finally:
        live.session.close()
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hostile") / "h.db") as live:
        yield live


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("operation", "mode"),
    [(o, GenerationMode.POSITIVE) for o in PLAIN]
    + [(o, GenerationMode.NEGATIVE) for o in PLAIN if o.body or o.parameters],
    ids=lambda value: value.name if isinstance(value, GenerationMode) else value.handler.__name__,
)
def test_no_request_breaks_it_and_what_is_refused_changes_nothing(live, operation, mode):
    described = live.schema[operation.template][operation.method]
    cases = described.as_strategy(generation_mode=mode)

    @MANY
    @given(case=cases)
    def hostile(case):
        before = live.seq()
        response = case.call(base_url=live.url, session=live.session)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            said = response.json()["error"]
            assert said["message"]
            assert live.seq() == before
            assert response.status_code != 422 or said.get("field") or "body" in said["message"]

    hostile()


NASTY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["\x00", "' OR 1=1 --", "'; DROP TABLE events; --", "../../etc/passwd", "%2e%2e/", "\ud800",
         "\u202e", "NaN", "1e999", "{{7*7}}", "${jndi:ldap://x}", "<script>", "a" * 300]
    ),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("path", sorted({o.path for o in PLAIN if o.body and "{" not in o.path}))
def test_any_json_in_any_field(live, path):
    method = next(o.method for o in PLAIN if o.path == path and o.body)
    fields = ["prompt", "messages", "embedding", "models", "metadata", "decision_id", "reward",
              "source", "name", "endpoints", "feedback", "model", "user", "needs"]  # fmt: skip

    @MANY
    @given(body=st.dictionaries(st.sampled_from(fields), JSON, max_size=4) | JSON)
    def hostile(body):
        before = live.seq()
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        response = live.session.request(method, live.url + path, data=data, headers=headers)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert live.seq() == before

    hostile()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"prompt": 1e999}',
                                  b'{"embedding": [1e400]}', b"\xff\xfe", b'{"prompt": "a\\u0000"}',
                                  b"9" * 10_000])  # fmt: skip
def test_deep_and_broken_bodies(live, body):
    headers = {"Content-Type": "application/json"}
    response = live.session.post(f"{live.url}/route", data=body, headers=headers)
    assert response.status_code in (200, 400, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/map/../app.py",
        "/map/..%2f..%2fapp.py",
        "/decisions/..%2f..",
        "/models/%00",
        "//evil.example/",
        "/clusters/" + "9" * 5000,
    ],
)
def test_tricks_in_paths(live, path):
    request = requests.Request("GET", live.url).prepare()
    request.url = live.url + path  # as it is: requests would tidy it up
    response = live.session.send(request, allow_redirects=False)
    assert response.status_code in (400, 404, 405)
    assert "root:" not in response.text
