"""Bad days, one by one: a real server that misbehaves, and what a client sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bandit_router.config import Config, parse_config
from bandit_router.providers import http as upstream
from bandit_router.service.gateway import ANSWERED
from bandit_router.service.keys import ENGINE, FLEET

from .upstreams import OpenAIProvider

TALK = [{"role": "user", "content": "hello, world"}]
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def http(body: bytes, status: str = "200 OK", kind: str = "application/json", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def events(*datas: Any) -> bytes:
    out = [d if isinstance(d, str) else json.dumps(d) for d in datas]
    return "".join(f"data: {data}\n\n" for data in out).encode()


def stream(*datas: Any) -> bytes:
    return http(events(*datas), "200 OK", "text/event-stream", "Connection: close")


def said(text: str) -> dict[str, Any]:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {**CHUNK, "choices": [delta]}


TWO = {**CHUNK, "choices": [{"index": 1, "delta": {"content": "two"}, "finish_reason": None}]}
ENDED = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
ERROR = {"error": {"message": "quota spent", "code": 429}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
BEFORE = {  # what is sent, what it counts as: nothing has been passed on to the client by then
    "hangs": (None, "timeout"),
    "hangs in the body": ((HEAD, None), "timeout"),
    "resets": ((b"", "reset"), "connection"),
    "resets in the body": ((HEAD, "reset"), "broke_off"),
    "hangs up": ((b"",), "connection"),
    "speaks no HTTP": ((b"\x00\xffhello\r\n\r\n",), "connection"),
    "a page": ((http(b"<html>", "200 OK", "text/html"),), "garbage"),
    "no object": ((http(b"[1, 2]"),), "garbage"),
    "not Unicode": ((http(b'{"a": "\xff"}'),), "garbage"),
    "deeply nested": ((http(b"[" * 100_000),), "garbage"),
    "an empty object": ((http(b"{}"),), "garbage"),
    "no choices": ((http(b'{"choices": []}'),), "garbage"),
    "an error under 200": ((http(json.dumps(ERROR).encode()),), "error_in_answer"),
    "overloaded": ((http(b"{}", "529 Overloaded"),), "server"),
    "a page of an error": ((http(b"<html>", "502 Bad Gateway", "text/html"),), "server"),
    "a wrong key": ((http(b"{}", "401 Unauthorized"),), "auth"),
    "nothing there": ((http(b"{}", "404 Not Found"),), "missing"),
    "leads away": ((http(b"", "302 Found", "text/html", "Location: http://127.0.0.1:9"),),
                   "missing"),
    "over its limit": ((http(b"{}", "429 Slow Down", "application/json", "Retry-After: 60"),),
                       "rate_limited"),
}  # fmt: skip
STREAMS = {
    "an error first": ((stream(ERROR),), "error_in_answer"),
    "nothing": ((stream(),), "broke_off"),
    "only a comment": ((http(b": hello\n\n", "200 OK", "text/event-stream"),), "broke_off"),
    "garbage first": ((stream("{oops"),), "garbage"),
    "no stream": ((http(b'{"choices": []}'),), "garbage"),
    "resets at once": ((b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "reset"),
                       "broke_off"),
}  # fmt: skip
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
AFTER = {  # the client has read something: nothing is tried again
    "resets": ((OPEN + events(said("one")), "reset"), "broke_off"),
    "hangs": ((OPEN + events(said("one")), None), "timeout"),
    "ends early": ((OPEN + events(said("one")),), "broke_off"),
    "tells an error": ((OPEN + events(said("one")), events(ERROR)), "error_in_answer"),
    "garbage": ((OPEN + events(said("one")), events("{oops")), "garbage"),
    "another form": ((OPEN + events(said("one")), events({"choices": [7]})), "garbage"),
    "one of two choices": ((OPEN + events(said("one"), TWO), events(ENDED)), "broke_off"),
}


class Bad:
    """Sends every caller the same bytes, and then leaves, resets (`"reset"`) or waits (None)."""

    def __init__(self) -> None:
        self.says: Any = (b"",)
        self.listens = True
        self._talks: set[asyncio.Task[Any]] = set()
        self.calls = 0
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()

    async def start(self, context: ssl.SSLContext | None = None) -> int:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._open.set()
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.calls += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self.listens:
                await reader.readuntil(b"\r\n\r\n")
            for item in self.says or (None,):
                await self._do(item, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _do(self, item: bytes | str | None, writer: asyncio.StreamWriter) -> None:
        if item is None:
            await self._open.wait()
        elif isinstance(item, str):  # closed with no time to linger: a reset
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.write(item)
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.fixture
async def bad() -> AsyncIterator[Bad]:
    server = Bad()
    yield server
    await server.stop()


def fleet(bad: str, good: str) -> Config:
    models = [
        {"name": "bad", "endpoints": [{"base_url": bad}]},
        {"name": "good", "endpoints": [{"base_url": good}]},
    ]
    return parse_config(
        {
            "models": models,
            "server": {"upstream_timeout_s": 0.25},
            "bandit": {"strategy": "fixed:bad"},
        }
    )


Ask = Callable[..., Any]


@pytest.fixture
async def ask(start: Any, bad: Bad) -> AsyncIterator[Ask]:
    async with AsyncExitStack() as stack:
        good = OpenAIProvider()
        await stack.enter_async_context(good.served("/chat/completions"))
        client = await start(fleet(f"http://127.0.0.1:{await bad.start()}/v1", good.url))
        client.app[ANSWERED].append(_remember)

        async def ask(path: str = "/v1/chat/completions", **fields: Any) -> Any:
            body = {"model": "auto", "messages": TALK, "max_tokens": 9, **fields}
            return await client.post(path, json=body)

        ask.client = client  # type: ignore[attr-defined]
        yield ask


async def _remember(answered: Any) -> None:
    TOLD.append(answered)


TOLD: list[Any] = []


def counts(client: Any) -> dict[str, int]:
    known = client.app[FLEET].infirmary.known()
    return next(dict(health.counts) for name, _, health in known if name == "bad")


async def fails_over(ask: Ask, kind: str, *, streamed: bool) -> None:
    """The other model answers, all is told, and nothing is learnt of quality."""
    answer = await ask(stream=streamed)
    text = await answer.text()
    assert answer.status == 200, text
    assert "Welt" in text
    assert answer.headers["x-bandit-router-model"] == "good"
    assert answer.headers["x-bandit-router-failed"] == "bad"
    assert f": {kind}" in answer.headers["x-bandit-router-failures"]
    assert counts(ask.client)[kind] >= 1  # type: ignore[attr-defined]
    why = await ask.client.get(  # type: ignore[attr-defined]
        f"/decisions/{answer.headers['x-bandit-router-decision-id']}"
    )
    found = await why.json()
    assert found["model"] == "bad"
    *failed, answered = found["outcomes"]
    assert [outcome["model"] for outcome in failed] == ["bad"] * len(failed)
    assert len(failed) == int(answer.headers["x-bandit-router-attempts"]) - 1
    assert all(outcome["error"] and outcome["endpoint"] for outcome in failed)
    assert (answered["model"], answered["error"]) == ("good", None)
    assert found["feedback"] == []
    arms = (await (await ask.client.get("/models")).json())["models"]  # type: ignore[attr-defined]
    assert [arm["evidence"] for arm in arms] == [0.0, 0.0]


async def is_told(ask: Ask, *, streamed: bool) -> None:
    """Where there is nobody else, each API's client is told in its own words."""
    answer = await ask(model="bad", stream=streamed)
    error = (await answer.json())["error"]
    assert answer.status in (429, 502)
    assert (
        error["type"]
        == error["code"]
        == {429: "rate_limited", 502: "upstream_error"}[answer.status]
    )
    assert error["message"]
    answer = await ask("/v1/messages", model="bad", stream=streamed)
    said = await answer.json()
    assert said["type"] == "error"
    assert said["error"]["type"] in ("api_error", "rate_limit_error")


@pytest.mark.parametrize("name", BEFORE)
async def test_before_the_answer(ask: Ask, bad: Bad, name: str) -> None:
    bad.says, kind = BEFORE[name]
    await fails_over(ask, kind, streamed=False)
    await is_told(ask, streamed=False)


async def test_a_small_answer_does_not_unfold_to_a_big_one(
    ask: Ask, bad: Bad, monkeypatch: Any
) -> None:
    monkeypatch.setattr(upstream, "MAX_ANSWER_BYTES", 1_000_000)
    packed = gzip.compress(b"{" + b" " * 50_000_000 + b"}")
    bad.says = (http(packed, "200 OK", "application/json", "Content-Encoding: gzip"),)
    await fails_over(ask, "broke_off", streamed=False)


@pytest.mark.parametrize("name", [*STREAMS, "hangs", "resets", "over its limit"])
async def test_before_a_stream(ask: Ask, bad: Bad, name: str) -> None:
    bad.says, kind = (STREAMS | BEFORE)[name]  # type: ignore[operator]
    await fails_over(ask, kind, streamed=True)
    await is_told(ask, streamed=True)


@pytest.mark.parametrize("name", AFTER)
async def test_in_the_middle_of_a_stream(ask: Ask, bad: Bad, name: str) -> None:
    bad.says, kind = AFTER[name]
    TOLD.clear()
    answer = await ask(stream=True)
    text = await answer.text()
    assert answer.headers["x-bandit-router-model"] == "bad"
    assert '"one"' in text
    assert "Welt" not in text
    last = text.rstrip().rsplit("data: ", 1)[1]
    assert "broke off" in json.loads(last)["error"]["message"]
    assert bad.calls == 1
    assert counts(ask.client)[kind] == 1  # type: ignore[attr-defined]
    id_ = answer.headers["x-bandit-router-decision-id"]
    history = ask.client.app[ENGINE].router.history(id_)  # type: ignore[attr-defined]
    (outcome,) = history.outcomes
    assert outcome.error
    assert outcome.cost_usd is None
    assert not TOLD
    answer = await ask("/v1/messages", stream=True)
    said = (await answer.text()).rstrip()
    assert json.loads(said.rsplit("data: ", 1)[1])["type"] == "error"
    assert "message_stop" not in said


async def test_garbage_at_the_end_of_a_stream_that_is_translated(ask: Ask, bad: Bad) -> None:
    usage = {**CHUNK, "choices": [], "usage": {"prompt_tokens_details": -1}}
    bad.says = (OPEN + events(said("one"), ENDED, usage, "[DONE]"),)
    answer = await ask("/v1/messages", stream=True)
    text = (await answer.text()).rstrip()
    assert "of another form" in json.loads(text.rsplit("data: ", 1)[1])["error"]["message"]
    assert counts(ask.client)["garbage"] == 1  # type: ignore[attr-defined]


async def test_a_name_that_does_not_resolve(start: Any) -> None:
    good = OpenAIProvider()
    async with good.served("/chat/completions"):
        client = await start(fleet("http://no-such-host.invalid/v1", good.url))
        answer = await client.post("/v1/chat/completions", json={"model": "auto", "messages": TALK})
        assert answer.headers["x-bandit-router-failures"] == "bad at no-such-host.invalid/v1: dns"
        assert answer.status == 200


@pytest.mark.parametrize("trouble", ["no TLS", "a certificate of nobody"])
async def test_tls_fails(start: Any, bad: Bad, tmp_path: Path, trouble: str) -> None:
    context = None
    bad.listens = trouble != "no TLS"
    if trouble != "no TLS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]
        made += ["-out", "cert.pem", "-days", "1", "-subj", "/CN=localhost"]
        subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    bad.says = (http(b"{}"),)
    good = OpenAIProvider()
    async with good.served("/chat/completions"):
        client = await start(fleet(f"https://127.0.0.1:{await bad.start(context)}/v1", good.url))
        body = {"model": "auto", "messages": TALK}
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status == 200
        assert answer.headers["x-bandit-router-failures"].endswith(": tls")


@pytest.mark.parametrize(
    ("code", "kind"),
    [("context_length_exceeded", "too_long"), ("unsupported_parameter", "unsupported")],
)
async def test_what_one_model_does_not_take_is_asked_of_another(
    ask: Ask, bad: Bad, code: str, kind: str
) -> None:
    error = {"error": {"message": "no", "code": code}}
    bad.says = (http(json.dumps(error).encode(), "400 Bad Request"),)
    await fails_over(ask, kind, streamed=False)
    assert bad.calls == 1
    health = next(h for n, _, h in ask.client.app[FLEET].infirmary.known() if n == "bad")  # type: ignore[attr-defined]
    assert health.failures == 0
    answer = await ask(model="bad")  # where there is no other, the client hears why
    assert (answer.status, await answer.json()) == (400, error)


async def test_what_the_provider_refuses_is_the_clients(ask: Ask, bad: Bad) -> None:
    error = {"error": {"message": "no such parameter", "type": "x", "param": "top_q"}}
    bad.says = (http(json.dumps(error).encode(), "400 Bad Request"),)
    answer = await ask()
    assert (answer.status, await answer.json()) == (400, error)
    answer = await ask("/v1/messages")
    assert answer.status == 400
    said = await answer.json()
    assert said["error"]["type"] == "invalid_request_error"
    assert "no such parameter" in said["error"]["message"]


@pytest.mark.parametrize(
    ("status", "message", "answered"),
    [("403 Forbidden", "your input was flagged", 403), ("404 Not Found", "no such file", 422)],
)
async def test_a_request_that_cannot_be_met_makes_nobody_ill(
    ask: Ask, bad: Bad, status: str, message: str, answered: int
) -> None:
    error = json.dumps({"error": {"message": message}}).encode()
    bad.says = (http(error, status, "application/json", "Connection: close"),)
    body = {"model": "bad", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is in it?"}, {"type": "file", "file": {"file_id": "f-1"}}
    ]}]}  # fmt: skip
    for _ in range(4):
        answer = await ask.client.post("/v1/chat/completions", json=body)  # type: ignore[attr-defined]
        assert answer.status == answered
        assert message in (await answer.json())["error"]["message"]
    health = next(h for n, _, h in ask.client.app[FLEET].infirmary.known() if n == "bad")  # type: ignore[attr-defined]
    assert health.failures == 0


async def test_a_deadline_passes(ask: Ask, bad: Bad) -> None:
    bad.says = None
    headers = {"x-bandit-router-deadline-ms": "100"}
    body = {"model": "auto", "messages": TALK}
    client = ask.client  # type: ignore[attr-defined]
    answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert (answer.status, (await answer.json())["error"]["type"]) == (504, "deadline_exceeded")
    bad.says = (OPEN + events(said("one")), None)
    answer = await client.post(
        "/v1/chat/completions", json=body | {"stream": True}, headers=headers
    )
    assert "the deadline has passed" in await answer.text()
    for wrong in ("soon", "-1", "nan", "0"):
        headers = {"x-bandit-router-deadline-ms": wrong}
        answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status == 422
        assert (await answer.json())["error"]["field"] == "x-bandit-router-deadline-ms"


async def test_a_circuit_opens_and_the_arm_is_no_candidate(ask: Ask, bad: Bad) -> None:
    bad.says = (http(b"{}", "500 Oh"),)
    for _ in range(2):
        await ask()
    calls = bad.calls
    answer = await ask()
    assert bad.calls == calls
    assert answer.headers["x-bandit-router-model"] == "good"
    assert "x-bandit-router-failed" not in answer.headers
    answer = await ask(model="bad")  # asked for by name it is tried all the same
    assert (answer.status, bad.calls) == (502, calls + 1)


async def test_waiting_as_long_as_asked(ask: Ask, bad: Bad) -> None:
    limited = http(b"{}", "429 Slow Down", "application/json", "Retry-After: 1")
    bad.says = (limited,)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await ask(model="bad")
    assert (answer.status, bad.calls) == (429, 2)
    assert answer.headers["Retry-After"] == "1"
    assert loop.time() - began >= 1.0


async def test_endpoints_say_how_they_do(ask: Ask, bad: Bad) -> None:
    bad.says = (http(b"{}", "500 Oh"),)
    for _ in range(2):
        await ask()
    answer = await (await ask.client.get("/endpoints")).json()  # type: ignore[attr-defined]
    sick, well = answer["endpoints"]
    assert (sick["model"], sick["circuit"], sick["latency_ms"]) == ("bad", "open", None)
    assert sick["calls"]["server"] == bad.calls
    assert (well["circuit"], well["calls"]) == ("closed", {"answered": 2})
    assert well["latency_ms"] > 0
