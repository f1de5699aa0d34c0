"""Three replicas and two learners as processes under load: killed, stopped, cut off.

Every acknowledgement is checked: what a client was told is recorded is in the log, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bandit_router.store import open_log, restore, verify
from bandit_router.types import Decision, Feedback

from .proxy import Proxy

SECONDS = 12.0
CLIENTS = 6
CONFIG = {
    "embedder": {"name": "none"},
    "store": {"snapshot_every": 100},
    "models": [{"name": "small"}, {"name": "large"}],
}


class Nursery:
    """Starts processes, and ends those that are left."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.alive: set[int] = set()

    def start(self, **order: str) -> tuple[int, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid, *_, url = self._process.stdout.readline().split()
        self.alive.add(int(pid))
        return int(pid), url

    def signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if number is signal.SIGKILL:
            self.alive.discard(pid)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nursery.py")), json.dumps(CONFIG)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        made = Nursery(process)
        yield made
        for pid in list(made.alive):
            made.signal(pid, signal.SIGKILL)
        process.kill()


@pytest.fixture
async def proxies(postgres: Any) -> AsyncIterator[list[Proxy]]:
    """A network of its own for each replica."""
    made = [Proxy(postgres.port) for _ in range(3)]
    for proxy in made:
        await proxy.start()
    yield made
    for proxy in made:
        await proxy.stop()


class Client:
    """Talks to whichever replica, and notes what it was told."""

    def __init__(self, seed: int, urls: list[str]) -> None:
        self.rng = random.Random(seed)
        self.urls = urls
        self.decided: dict[str, str] = {}
        self.said: dict[str, float] = {}
        self.unsure: set[str] = set()
        self.statuses: Counter[int] = Counter()

    async def talk(self, session: aiohttp.ClientSession, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._decide(session)
                if self.decided and self.rng.random() < 0.8:
                    await self._say(session)
            await asyncio.sleep(0.01)

    async def _post(self, session: aiohttp.ClientSession, path: str, body: Any) -> Any:
        async with session.post(self.rng.choice(self.urls) + path, json=body) as answer:
            self.statuses[answer.status] += 1
            return await answer.json() if answer.status == 200 else None

    async def _decide(self, session: aiohttp.ClientSession) -> None:
        vector = [self.rng.gauss(0, 1) for _ in range(6)]
        answer = await self._post(session, "/route", {"embedding": vector})
        if answer is not None:
            self.decided[answer["decision_id"]] = answer["model"]

    async def _say(self, session: aiohttp.ClientSession) -> None:
        id_ = self.rng.choice(list(self.decided)[-20:])
        if id_ in self.said or id_ in self.unsure:
            return
        reward = self.rng.random()
        self.unsure.add(id_)
        answer = await self._post(session, "/feedback", {"decision_id": id_, "reward": reward})
        if answer is not None:
            self.said[id_] = reward
            self.unsure.discard(id_)


async def test_nothing_acknowledged_is_lost_and_nothing_counts_twice(
    nursery: Nursery, proxies: list[Proxy], postgres: Any, url: str, tmp_path: Path
):
    name = url.rsplit("/", 1)[-1]
    orders = [
        {"db": postgres.url(name, proxy.port), "outbox": str(tmp_path / f"{i}.db")}
        for i, proxy in enumerate(proxies)
    ]
    learners = [nursery.start(db=url)[0] for _ in range(2)]
    started = [nursery.start(**order) for order in orders]
    pids, urls = [pid for pid, _ in started], [url for _, url in started]
    rng = random.Random(11)

    async def trouble() -> None:
        """Everything that may happen happens, a second apart."""
        kinds = ["kill replica", "cut", "kill learner", "stop learner", "stop replica", "hold"]
        for kind in [*kinds, "kill replica", "kill learner"]:
            i = rng.randrange(3)
            if kind == "kill replica":
                nursery.signal(pids[i], signal.SIGKILL)
                pids[i], urls[i] = nursery.start(**orders[i])
            elif kind == "kill learner":
                j = learners.index(await leader(url))
                nursery.signal(learners[j], signal.SIGKILL)
                learners[j] = nursery.start(db=url)[0]
            elif kind == "cut":
                proxies[i].cut()
                await asyncio.sleep(0.7)
                proxies[i].mend()
            elif kind == "hold":
                proxies[i].hold()
                await asyncio.sleep(0.7)
                proxies[i].mend()
            else:
                pid = await leader(url) if kind == "stop learner" else pids[i]
                nursery.signal(pid, signal.SIGSTOP)
                # Longer than the server is patient: a stopped learner loses the lock.
                await asyncio.sleep(3.0 if kind == "stop learner" else 1.0)
                nursery.signal(pid, signal.SIGCONT)
            await asyncio.sleep(0.3)

    clients = [Client(seed, urls) for seed in range(CLIENTS)]
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0)) as session:
        await _serving(session, urls)
        end = loop.time() + SECONDS
        await asyncio.gather(trouble(), *(client.talk(session, end) for client in clients))

    decided = {id_: model for client in clients for id_, model in client.decided.items()}
    said = {id_: reward for client in clients for id_, reward in client.said.items()}
    unsure = {id_ for client in clients for id_ in client.unsure}
    statuses = sum((client.statuses for client in clients), Counter[int]())
    assert set(statuses) <= {200, 503}
    assert len(decided) > 100

    with closing(open_log(url, readonly=True)) as log:
        found: Counter[str] = Counter()
        for _ in range(300):  # what is in the outboxes arrives
            found = Counter(e.decision_id for e in log.events() if isinstance(e, Feedback))
            known = {e.decision_id for e in log.events(kind="decision")}
            if decided.keys() <= known and said.keys() <= found.keys():
                break
            await asyncio.sleep(0.1)
        decisions = [e for e in log.events() if isinstance(e, Decision)]
        models = {e.decision_id: e.model for e in decisions}
        assert len(models) == len(decisions)  # none twice
        assert decided.items() <= models.items()
        rewards = {e.decision_id: e.reward for e in log.events() if isinstance(e, Feedback)}
        assert said.items() <= rewards.items()
        assert rewards.keys() <= said.keys() | unsure
        assert set(found.values()) == {1}
        report = verify(log)
        assert report.agrees
        assert report.snapshots
        # One process that folds the same log stands where the learner stands.
        assert restore(log).seq >= report.events


async def leader(url: str) -> int:
    """Return the process that holds the lock."""
    import psycopg

    sql = (
        "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for _ in range(300):
            if (row := await (await connection.execute(sql)).fetchone()) is not None:
                return int(row[0].split()[-1])
            await asyncio.sleep(0.1)
    raise AssertionError("nobody learns")


async def _serving(session: aiohttp.ClientSession, urls: list[str]) -> None:
    """Wait until every replica decides."""
    for url in urls:
        for _ in range(300):
            async with session.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{url} never became ready")
