"""A load generator: bare HTTP/1.1 over asyncio, in a process of its own.

A full client would cost more than the servers that are measured here. Each connection sends its
next request as soon as it has the answer to the last (closed loop).

    python load.py < job.json
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from typing import Any

LENGTH = b"content-length:"


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        at = lower.index(LENGTH) + len(LENGTH)
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        self._load.answered(head, body, perf_counter() - self._sent)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()

    def _next(self) -> None:
        request = self._load.request()
        if request is None:
            self._transport.close()
            return
        self._sent = perf_counter()
        self._transport.write(request)


class _Load:
    """What is to be sent, and what came back."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._requests = [
            _request(job["path"], body.encode(), job["headers"]) for body in job["bodies"]
        ]
        self._sent = 0
        self._open = 0
        self._end = 0.0
        self._done = asyncio.Event()
        self.spent: list[float] = []
        self.bodies: list[str] = []
        self.failures = 0

    async def run(self) -> dict[str, Any]:
        """Send until the time is up or every request has been sent once."""
        loop = asyncio.get_running_loop()
        self._open = self._job["connections"]
        start = perf_counter()
        self._end = start + self._job["seconds"]
        for _ in range(self._open):
            await loop.create_connection(
                lambda: _Connection(self), self._job["host"], self._job["port"]
            )
        await self._done.wait()
        return {
            "seconds": perf_counter() - start,
            "failures": self.failures,
            "latencies_ms": [1e3 * spent for spent in self.spent],
            "bodies": self.bodies,
        }

    def request(self) -> bytes | None:
        """Return the next request, or None to stop."""
        if perf_counter() > self._end or (self._job["once"] and self._sent >= len(self._requests)):
            return None
        self._sent += 1
        return self._requests[(self._sent - 1) % len(self._requests)]

    def answered(self, head: bytes, body: bytes, spent: float) -> None:
        """Count an answer."""
        self.spent.append(spent)
        if not head.startswith(b"HTTP/1.1 200"):
            self.failures += 1
        if self._job["keep"]:
            self.bodies.append(body.decode())

    def lost(self) -> None:
        """Count a connection that has ended."""
        self._open -= 1
        if not self._open:
            self._done.set()


def _request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Read a job, do it, print what was measured."""
    job = json.load(sys.stdin)
    json.dump(asyncio.run(_Load(job).run()), sys.stdout)


if __name__ == "__main__":
    main()
