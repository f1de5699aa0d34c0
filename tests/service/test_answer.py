"""Answers in one piece are the answers that aiohttp would have sent."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router.service.answer import JsonAnswer

BODY = b'{"prompt": "hello"}'


async def said(
    client, method: str, path: str, *, version: str = "1.1", body: bytes = b"", **more: str
) -> tuple[str, dict[str, str], bytes]:
    """Return status line, header fields and body of an answer, read from the bare connection."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **more}
    head = [f"{method} {path} HTTP/{version}", "Host: x", *(f"{k}: {v}" for k, v in fields.items())]
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        found = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = 0 if method == "HEAD" else int(found["content-length"])
        return first, found, await reader.readexactly(size)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "body"), [("GET", "/healthz", b""), ("POST", "/route", BODY)]
)
async def test_the_head_is_what_aiohttp_makes_of_it(client, method, path, body):
    quick, kept, shown = await said(client, method, path, body=body)
    slow, last, _ = await said(client, method, path, body=body, Connection="close")
    assert quick == slow == "HTTP/1.1 200 OK"
    for found in (kept, last):
        for varies in ("date", "content-length"):
            assert found.pop(varies)
    assert last.pop("connection") == "close"
    assert kept == last
    assert json.loads(shown)


async def test_what_is_out_of_the_ordinary_is_left_to_aiohttp(client):
    first, found, _ = await said(client, "GET", "/healthz", version="1.0", Connection="keep-alive")
    assert (first, found["connection"]) == ("HTTP/1.0 200 OK", "keep-alive")
    first, found, body = await said(client, "HEAD", "/healthz")
    assert (first, int(found["content-length"]) > 0, body) == ("HTTP/1.1 200 OK", True, b"")


async def test_one_connection_carries_answers_in_the_order_of_requests(client):
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    try:
        paths = ["/healthz", "/nothing", "/readyz", "/healthz"]
        writer.write("".join(f"GET {p} HTTP/1.1\r\nHost: x\r\n\r\n" for p in paths).encode())
        for status in (b"200", b"404", b"200", b"200"):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status)
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert json.loads(await reader.readexactly(size))
    finally:
        writer.close()
        await writer.wait_closed()


async def test_who_does_not_read_is_not_answered_further():
    """What waits to be sent lies in memory: it must not be as much as somebody asks for."""
    asked, many = 0, 40

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return JsonAnswer(b'"%s"' % (b"x" * 1_000_000))

    app = web.Application()
    app.router.add_get("/", handler)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * many)
        before = -1
        while asked != before:
            before = asked
            await asyncio.sleep(0.1)
        assert 0 < asked < many
        while asked < many:  # who reads again is answered
            assert await reader.read(1_000_000)
        writer.close()
