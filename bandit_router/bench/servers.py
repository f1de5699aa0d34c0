"""Servers to be measured, each a process of its own, and load on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np

EMPTY = """
import asyncio, sys
from aiohttp import web

async def answer(request):
    await request.read()
    return web.json_response({"model": "small"})

async def main():
    app = web.Application()
    app.router.add_post("/route", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""The least that an aiohttp service can do: read a body, answer with JSON."""


@dataclass(frozen=True)
class Measured:
    """Answers of one load: how many a second, and how long each took, milliseconds."""

    rate: float
    latencies_ms: Any
    bodies: list[str]

    def quantile(self, q: float) -> float:
        """Return a quantile of the latency, milliseconds."""
        return float(np.quantile(self.latencies_ms, q))


@dataclass(frozen=True)
class Server:
    """A server that listens."""

    port: int
    process: subprocess.Popen[str]

    def load(
        self,
        path: str,
        bodies: Sequence[str],
        *,
        connections: int,
        seconds: float,
        once: bool = False,
        keep: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Measured:
        """Send `bodies` over and over (or `once`) for so many seconds; `keep` the answers."""
        job = {
            "host": "127.0.0.1", "port": self.port, "path": path, "bodies": list(bodies),
            "connections": connections, "seconds": seconds, "once": once, "keep": keep,
            "headers": dict(headers or {}),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("load.py"))],  # imports nothing of ours
            input=json.dumps(job), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
        if found["failures"]:
            raise RuntimeError(f"{found['failures']} of the requests to {path} failed")
        spent = np.array(found["latencies_ms"])
        return Measured(len(spent) / found["seconds"], spent, found["bodies"])

    def measured(self, path: str, bodies: Sequence[str], **options: Any) -> tuple[Measured, float]:
        """Return what `load` does, and what a request cost the server, microseconds of CPU.

        What a request costs tells more than the rate where other work shares the machine.
        """
        before = self._cpu_seconds()
        found = self.load(path, bodies, **options)
        return found, 1e6 * (self._cpu_seconds() - before) / len(found.latencies_ms)

    def memory_mb(self) -> float:
        """Return the resident memory, megabytes; nan where the system does not tell."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return float("nan")
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return float(line.split()[1]) / 1024

    def _cpu_seconds(self) -> float:
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return float("nan")
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def empty() -> Iterator[Server]:
    """Serve the empty handler."""
    with _started([sys.executable, "-c", EMPTY], lambda line: line) as server:
        yield server


@contextmanager
def encoder() -> Iterator[Server]:
    """Serve MiniLM, with the least around it."""
    with _started([sys.executable, "-m", "bandit_router.bench.bare"], lambda line: line) as server:
        yield server


@contextmanager
def upstream() -> Iterator[Server]:
    """Serve the instant mock of an LLM provider."""
    with _started([sys.executable, "-m", "bandit_router.bench.mock"], lambda line: line) as server:
        yield server


@contextmanager
def service(config: str, *, profile: Path | None = None) -> Iterator[Server]:
    """Serve bandit-router with a configuration (TOML), on a new database, ready."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(config, encoding="utf-8")
        command = [sys.executable]
        if profile is not None:
            command += ["-m", "cProfile", "-o", str(profile)]
        command += ["-m", "bandit_router", "serve", "--config", str(file), "--port", "0"]
        command += ["--db", str(Path(folder) / "bench.db"), "--json"]
        with _started(command, lambda line: json.loads(line)["listening"]) as server:
            wait_until_ready(server.port)
            yield server


def wait_until_ready(port: int, seconds: float = 120.0) -> float:
    """Return how long it took until `/readyz` said 200, seconds."""
    start = perf_counter()
    while perf_counter() - start < seconds:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=seconds):
                return perf_counter() - start
        except HTTPError as error:
            error.close()
            sleep(0.01)
    raise TimeoutError(f"the service was not ready after {seconds:g} s")


@contextmanager
def _started(command: list[str], url: Any) -> Iterator[Server]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command[:4])} ... did not start")
        yield Server(int(url(line.strip()).rsplit(":", 1)[1]), process)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
