"""Too much, too slow, too late: refused early and clearly, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router.service.keys import CONNECTIONS

from .conftest import config

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def serving(tmp_path, **tables):
    """A service in a process of its own; yields it and its address."""
    lines = []
    for table, keys in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    if "models" not in tables:
        lines += ["[models]", 'name = "small"']
    file = tmp_path / "config.toml"
    file.write_text("\n".join(lines).replace("[models]", "[[models]]"))
    command = ["-m", "bandit_router", "serve", "--config", str(file), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--db", str(tmp_path / "o.db"), stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BANDIT_ROUTER_EMBEDDER_NAME": "none"},
    )  # fmt: skip
    try:
        line = (await process.stdout.readline()).decode()
        yield process, re.search(r"http://127\.0\.0\.1:(\d+)", line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_connections_are_bounded_and_idle_ones_closed(tmp_path):
    bounds = {"max_connections": 3, "idle_timeout_s": 1.0, "body_timeout_s": 0.5}
    async with serving(tmp_path, server=bounds) as (_, found):
        port = int(found[1])
        # Three that send their headers one letter at a time, or nothing at all.
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        slow[0][1].write(b"POST /route HTTP/1.1\r\nHost: x\r\nX-Slo")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in answer
        body = answer.split(b"\r\n\r\n", 1)[1]
        assert json.loads(body)["error"]["type"] == "unavailable"
        for reader, writer in slow:  # thrown out in time, although one went on sending
            slow[0][1].write(b"w")
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(1), 10) == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Content-Length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert answer.startswith(b"HTTP/1.1 408")
        writer.close()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/route", json={"embedding": [1, 2]}) as response,
        ):
            assert response.status == 200
        for _ in range(12):  # what has come and gone takes no place
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
            writer.close()


@pytest.fixture
async def upstream():
    """Streams ten words, one a fifth of a second."""

    async def chat(request):
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for i in range(10):
            delta = {"choices": [{"index": 0, "delta": {"content": f"word{i} "}}]}
            await response.write(f"data: {json.dumps(delta)}\n\n".encode())
            await asyncio.sleep(0.2)
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


@pytest.mark.parametrize(("grace", "whole"), [(10.0, True), (0.3, False)])
async def test_a_stop_lets_streams_end_within_a_set_time(tmp_path, upstream, grace, whole):
    models = {"name": "small", "endpoints": []}
    tables = {"server": {"shutdown_s": grace}, "models": models}
    async with serving(tmp_path, **tables) as (process, found):
        base = f"http://127.0.0.1:{found[1]}"
        asked = {
            "model": "small",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
        }
        async with aiohttp.ClientSession() as session:
            patch = {"endpoints": [{"base_url": upstream}]}
            async with session.patch(f"{base}/models/small", json=patch) as response:
                assert response.status == 200, await response.text()
            async with session.post(f"{base}/v1/chat/completions", json=asked) as response:
                text = (await response.content.readline()).decode()
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
                with pytest.raises(aiohttp.ClientConnectionError):
                    async with aiohttp.ClientSession() as late:
                        await late.get(f"{base}/healthz")
                try:
                    text += (await response.content.read()).decode()
                except aiohttp.ClientPayloadError:
                    assert not whole
            assert await asyncio.wait_for(process.wait(), 30) == 0
        assert ("word9" in text) is whole


async def test_more_requests_than_may_be_answered_at_once_are_refused(start):
    client = await start(config(server={"max_requests": 2, "body_timeout_s": 20.0}))

    slow = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(2)]
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for _, writer in slow:
        writer.write(head + b"Content-Length: 100\r\n\r\n{")
    await asyncio.sleep(0.2)
    async with client.get("/healthz") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
    for _, writer in slow:
        writer.close()
    await asyncio.sleep(0.2)
    async with client.get("/healthz") as response:
        assert response.status == 200


async def test_bodies_are_bounded_together_not_only_each(start):
    client = await start(config(server={"max_body_bytes": 300_000}))
    connections = client.app[CONNECTIONS]
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    held = []
    for _ in range(80):  # all but the last byte
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(head + b"Content-Length: 300000\r\n\r\n" + b" " * 299_999)
        held.append((reader, writer))
    answers = [asyncio.create_task(reader.readline()) for reader, _ in held]
    while sum(answer.done() for answer in answers) < 80 - 64:  # no fewer can be, whichever
        await asyncio.sleep(0.01)
    assert all(b" 503 " in answer.result() for answer in answers if answer.done())
    assert connections.bodies._held <= 64 * 300_000
    assert (await client.post("/route", json={"prompt": "words"})).status == 200
    for answer, (_, writer) in zip(answers, held, strict=True):
        answer.cancel()
        writer.close()
    while connections.bodies._held:
        await asyncio.sleep(0.01)
    body = json.dumps({"prompt": "words", "metadata": {}}).encode().ljust(250_000)
    asked = {"data": body, "headers": {"Content-Type": "application/json"}}
    assert (await client.post("/route", **asked)).status == 200


async def test_long_headers_are_refused(client):
    async with client.get("/healthz", headers={"x": "y" * 20_000}) as response:
        assert response.status in (400, 431)


async def test_a_body_that_is_going_to_be_too_large_is_not_waited_for(start):
    client = await start(config(server={"max_body_bytes": 1_000, "body_timeout_s": 600.0}))
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Content-Length: 99999999999\r\n\r\n{")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert answer.startswith(b"HTTP/1.1 413")
    writer.close()
