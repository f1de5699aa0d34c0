"""A soak: an hour of mixed load on one service, with its memory and its latency over time.

    python -m simulations.soak                 # an hour
    python -m simulations.soak --minutes 10 --out simulations/results/soak.json

A service of its own process on a fresh database; twenty clients route vectors from topics that
drift and are replaced (so that clusters are born, merge and fade), give feedback late, twice, in
batches or never, ask why, erase, and read the map, the metrics and the lineage; every half minute
an arm leaves and another comes. Each line is one interval: requests a second, median and 99th
percentile of `POST /route` in milliseconds (of twenty clients at once, on a machine that may have
other work), the service's own processor time a request, resident memory, live clusters, how many
were ever born, and how many answers were no 2xx. Flat columns are what to look for; memory grows
until the newest 50,000 decisions are held, about 2 kB each. At the end the service is told to stop,
and `verify` folds the log again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

CLIENTS = 20
DIMENSION = 32
TOPICS = 40
PAUSE = 0.02
CONFIG = """
[embedder]
name = "none"
[clusterer]
half_life = 500
[store]
snapshot_every = 2000
[[models]]
name = "stays"
"""


class Load:
    """What all clients share: where the topics are now, and what was measured."""

    def __init__(self, url: str, until: float) -> None:
        self.url = url
        self.until = until
        self.topics = np.random.default_rng(0).normal(size=(TOPICS, DIMENSION))
        self.seconds: list[float] = []
        self.requests = 0
        self.refused = 0

    async def ask(self, session: aiohttp.ClientSession, method: str, path: str, body: Any) -> Any:
        """Return the answer to one request, None if it was refused."""
        began = time.perf_counter()
        async with session.request(method, self.url + path, json=body) as response:
            answer = await (response.text() if path == "/metrics" else response.json())
            self.requests += 1
            if path == "/route":
                self.seconds.append(time.perf_counter() - began)
            if response.status >= 300:
                self.refused += 1
                return None
            return answer

    async def client(self, session: aiohttp.ClientSession, seed: int) -> None:
        """Route and judge until the end."""
        rng = np.random.default_rng(seed)
        owed: list[str] = []
        while time.monotonic() < self.until:
            vector = self.topics[rng.integers(TOPICS)] + 0.3 * rng.normal(size=DIMENSION)
            routed = await self.ask(session, "POST", "/route", {"embedding": vector.tolist()})
            if routed is not None and rng.random() < 0.7:
                owed.append(routed["decision_id"])
            if len(owed) > 20 or (owed and rng.random() < 0.5):
                id_ = owed.pop(int(rng.integers(len(owed))))
                said = {"decision_id": id_, "reward": float(rng.random())}
                for _ in range(int(rng.integers(1, 3))):
                    await self.ask(session, "POST", "/feedback", said)
                if rng.random() < 0.1:
                    await self.ask(session, "GET", f"/decisions/{id_}", None)
                if rng.random() < 0.02:
                    await self.ask(session, "DELETE", f"/decisions/{id_}", None)
            if len(owed) > 5 and rng.random() < 0.02:
                said = [{"decision_id": id_, "rating": "up"} for id_ in owed]
                await self.ask(session, "POST", "/feedback/batch", {"feedback": said})
                owed.clear()
            if rng.random() < 0.005:
                seen = ("/clusters", "/lineage", "/metrics", "/models")[int(rng.integers(4))]
                await self.ask(session, "GET", seen, None)
            await asyncio.sleep(PAUSE * rng.random())

    async def churn(self, session: aiohttp.ClientSession) -> None:
        """Let topics drift and be replaced, and arms come and go."""
        rng = np.random.default_rng(99)
        count = 0
        while time.monotonic() < self.until:
            await self.ask(session, "POST", "/models", {"name": f"guest-{count}"})
            for _ in range(30):
                await asyncio.sleep(1.0)
                self.topics += 0.02 * rng.normal(size=self.topics.shape)
                self.topics[rng.integers(TOPICS)] = rng.normal(size=DIMENSION)
                if time.monotonic() > self.until:
                    return
            await self.ask(session, "DELETE", f"/models/guest-{count}", None)
            count += 1


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, megabytes (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def soak(url: str, pid: int, minutes: float, every: float) -> list[dict[str, Any]]:
    """Return one row for each interval."""
    load = Load(url, time.monotonic() + 60 * minutes)
    rows = []
    async with aiohttp.ClientSession() as session:
        work = [asyncio.create_task(load.client(session, seed)) for seed in range(CLIENTS)]
        work.append(asyncio.create_task(load.churn(session)))
        began, used = time.monotonic(), processor_s(pid)
        while time.monotonic() < load.until:
            await asyncio.sleep(every)
            seconds, load.seconds = load.seconds, []
            refused, load.refused = load.refused, 0
            requests, load.requests = load.requests, 0
            before, used = used, processor_s(pid)
            clusters = await load.ask(session, "GET", "/clusters", None)
            rows.append(
                {
                    "minute": round((time.monotonic() - began) / 60, 2),
                    "routes_per_s": round(len(seconds) / every, 1),
                    "p50_ms": round(1000 * float(np.median(seconds)), 2) if seconds else None,
                    "p99_ms": round(1000 * float(np.quantile(seconds, 0.99)), 2)
                    if seconds
                    else None,
                    "cpu_ms_per_request": round(1000 * (used - before) / max(requests, 1), 2),
                    "resident_mb": round(resident_mb(pid), 1),
                    "clusters": len(clusters["clusters"]) if clusters else None,
                    "born": max(c["id"] for c in clusters["clusters"]) if clusters else None,
                    "refused": refused,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
        await asyncio.gather(*work)
    return rows


def main() -> None:
    """Run the soak, then stop the service and verify its log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=30.0, help="Seconds of one line.")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, db = Path(folder) / "soak.toml", Path(folder) / "soak.db"
        config.write_text(CONFIG, encoding="utf-8")
        command = [sys.executable, "-m", "bandit_router"]
        serve = [*command, "serve", "--config", str(config), "--db", str(db), "--port", "0"]
        with subprocess.Popen([*serve, "--json"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["listening"]
            try:
                rows = asyncio.run(soak(url, process.pid, asked.minutes, asked.every))
            finally:
                process.terminate()
                code = process.wait(60)
        verified = subprocess.run([*command, "verify", "--db", str(db)], check=False).returncode
        end = {"exit": code, "verify": verified}
        print(json.dumps(end))
    if asked.out:
        lines = ",\n  ".join(json.dumps(row) for row in rows)
        text = (
            f'{{"minutes": {asked.minutes:g}, "end": {json.dumps(end)}, "rows": [\n  {lines}\n]}}\n'
        )
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
