"""Vectors from an OpenAI-compatible endpoint, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from bandit_router import Router
from bandit_router.config import EmbedderSettings
from bandit_router.embedding import endpoint, make_embedder
from bandit_router.exceptions import ConfigError, EmbedderError, InvalidInput


class Endpoint(ThreadingHTTPServer):
    """Says of each text how long it is; `plan` is what it does instead, call by call."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[tuple[int, Any]] = []
        self.seen: list[tuple[str, str | None, Any]] = []
        self.pause = 0.0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers["Authorization"], asked))
        time.sleep(self.server.pause)
        data = [
            {"index": i, "object": "embedding", "embedding": [float(len(text)), 1.0, 0.0]}
            for i, text in enumerate(asked["input"])
        ]
        status, answer = 200, {"object": "list", "data": data[::-1], "model": asked["model"]}
        if self.server.plan:
            status, answer = self.server.plan.pop(0)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(endpoint, "PAUSE", 0.0)
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(server: Endpoint, **others: Any) -> EmbedderSettings:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1/"
    return EmbedderSettings(name="openai:tiny", base_url=url, **others)


def test_it_asks_as_openai_wants_and_returns_unit_vectors_in_order(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    embedder = make_embedder(settings(server))
    texts = [f"{'x' * i}" for i in range(1, 70)]
    vectors = embedder.encode(texts)
    assert vectors.shape == (69, 3)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    assert np.allclose(vectors[:, 0] / vectors[:, 1], np.arange(1, 70), rtol=1e-4)
    path, key, asked = server.seen[0]
    assert (path, key) == ("/v1/embeddings", "Bearer secret")
    assert asked == {"model": "tiny", "input": texts[: endpoint.BATCH]}
    assert len(server.seen) == 2


def test_no_key_no_header_and_long_texts_are_cut_down(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make_embedder(settings(server)).encode(["a" * 50_000 + "b"])
    _, key, asked = server.seen[0]
    assert key is None
    assert len(asked["input"][0]) == 2 * endpoint.HALF + 1
    assert asked["input"][0].endswith("b")


def test_a_hiccup_is_tried_again(server: Endpoint) -> None:
    server.plan = [(503, {}), (200, {"data": [{"index": 0, "embedding": [3.0, 4.0]}]})]
    assert make_embedder(settings(server)).encode(["x"])[0] == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([(401, {"error": {"message": "wrong key"}})], EmbedderError, "OPENAI_API_KEY.*wrong key"),
        ([(404, {"error": {"message": "no model"}})], EmbedderError, "'tiny'.*no model"),
        ([(500, {}), (500, {})], EmbedderError, "500"),
        ([(400, {"error": {"message": "too long"}})], InvalidInput, "too long"),
        ([(200, {"answer": 42})], EmbedderError, "no list of embeddings"),
        ([(200, {"data": []})], EmbedderError, "one vector for each"),
        ([(200, {"data": [{"index": 0, "embedding": [0.0, 0.0]}]})], EmbedderError, "all zeros"),
    ],
)
def test_what_goes_wrong_is_said(
    server: Endpoint, answers: list[tuple[int, Any]], error: type[Exception], words: str
) -> None:
    server.plan = answers
    with pytest.raises(error, match=words):
        make_embedder(settings(server)).encode(["x"])


def test_a_slow_endpoint_and_none_at_all(server: Endpoint) -> None:
    server.pause = 0.5
    with pytest.raises(EmbedderError, match="timeout_s"):
        make_embedder(settings(server, timeout_s=0.05)).encode(["x"])
    nowhere = EmbedderSettings(name="openai:tiny", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(EmbedderError, match="cannot be reached"):
        make_embedder(nowhere).encode(["x"])
    with pytest.raises(ConfigError, match="no model"):
        make_embedder(EmbedderSettings(name="openai:"))


def test_a_router_routes_by_it(server: Endpoint) -> None:
    router = Router(["a", "b"], embedder=make_embedder(settings(server)))
    assert len(router.route("Prove that 17 is prime.").embedding()) == 3
