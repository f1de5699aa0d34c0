"""A loaded server, killed at random points, again and again: every acknowledgement is checked."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bandit_router.store import EventStore, restore, verify
from bandit_router.types import Decision, Feedback

KILLS = 60
CLIENTS = 8
CONFIG = {
    "embedder": {"name": "none"},
    "store": {"snapshot_every": 40},
    "models": [{"name": "small"}, {"name": "large"}],
}


class Nursery:
    """Starts services, and knows where they are."""

    def __init__(self, process: subprocess.Popen[str], db: Path) -> None:
        self.process = process
        self.db = db

    def start(self, **order: Any) -> tuple[int, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"db": str(self.db), "config": CONFIG, **order}) + "\n")
        self.process.stdin.flush()
        pid, *_, url = self.process.stdout.readline().split()
        return int(pid), url


@pytest.fixture(scope="module")
def mother() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("nursery.py")
    environ = {**os.environ, "PYTHONPATH": str(script.parents[2]), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def nursery(mother: subprocess.Popen[str], tmp_path: Path) -> Nursery:
    return Nursery(mother, tmp_path / "crash.db")


class Client:
    """What one client was told: decisions and feedback that were acknowledged."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.decided: dict[str, str] = {}
        self.said: dict[str, float] = {}
        self.unsure: dict[str, float] = {}  # sent, and no answer came
        self.statuses: Counter[str] = Counter()
        self.answers = 0

    async def work(self, session: aiohttp.ClientSession, url: str) -> None:
        """Route, judge, say things twice, take up what was left open; until the server is gone."""
        try:
            for id_, reward in list(self.unsure.items()):
                await self._judge(session, url, id_, reward)
            while True:
                vector = [self.rng.gauss(0, 1) for _ in range(4)]
                answer = await self._post(session, url, "/route", {"embedding": vector})
                self.decided[answer["decision_id"]] = answer["model"]
                if self.rng.random() < 0.7:
                    reward = self.rng.random()
                    await self._judge(session, url, answer["decision_id"], reward)
                    if self.rng.random() < 0.3:
                        again = await self._judge(session, url, answer["decision_id"], reward)
                        assert again == "duplicate"
        except aiohttp.ClientError:
            return

    async def _judge(
        self, session: aiohttp.ClientSession, url: str, id_: str, reward: float
    ) -> str:
        self.unsure[id_] = reward
        body = {"decision_id": id_, "reward": reward}
        status: str = (await self._post(session, url, "/feedback", body))["status"]
        self.said[id_] = self.unsure.pop(id_)
        self.statuses[status] += 1
        return status

    async def _post(self, session: aiohttp.ClientSession, url: str, path: str, body: Any) -> Any:
        async with session.post(url + path, json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
            self.answers += 1
            return answer


async def one_life(clients: list[Client], url: str, pid: int, answers: int, more: float) -> None:
    """Let the clients work, and kill the server so many answers and seconds later."""
    goal = sum(client.answers for client in clients) + answers
    async with aiohttp.ClientSession() as session:
        work = [asyncio.create_task(client.work(session, url)) for client in clients]
        while sum(client.answers for client in clients) < goal:
            await asyncio.sleep(0.001)
        await asyncio.sleep(more)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*work)


def check(db: Path, clients: list[Client]) -> None:
    """Every acknowledgement is in the log once, and nothing else than was asked for."""
    with EventStore.open(db, readonly=True) as store:
        events = list(store.events())
        report = verify(store)
        router = restore(store)
    decided = Counter(e.decision_id for e in events if isinstance(e, Decision))
    said = Counter(e.decision_id for e in events if isinstance(e, Feedback))
    models = {e.decision_id: e.model for e in events if isinstance(e, Decision)}
    rewards = {e.decision_id: e.reward for e in events if isinstance(e, Feedback)}
    assert set(decided.values()) | set(said.values()) <= {1}
    for client in clients:
        for id_, model in client.decided.items():
            assert models[id_] == model
        for id_, reward in client.said.items():
            assert rewards[id_] == reward
    asked = {id_ for client in clients for id_ in (*client.said, *client.unsure)}
    assert set(said) <= asked
    assert sum(arm.evidence for arm in router.arms()) == pytest.approx(len(said))
    assert report.agrees, report.text()
    assert report.snapshots > 0


def test_sixty_kills_lose_nothing_and_count_nothing_twice(nursery: Nursery) -> None:
    clients = [Client(seed) for seed in range(CLIENTS)]
    rng = random.Random(0)
    for life in range(KILLS):
        pid, url = nursery.start()
        # Also at once, while the log is being folded.
        answers = rng.choice([0, rng.randrange(5, 80)])
        asyncio.run(one_life(clients, url, pid, answers, rng.uniform(0.0, 0.05)))
        if life % 20 == 19:
            check(nursery.db, clients)
    assert sum(len(client.decided) for client in clients) > 10 * KILLS
    assert sum(client.statuses["duplicate"] for client in clients) > KILLS // 2


async def ask(session: aiohttp.ClientSession, url: str, path: str, body: Any) -> tuple[int, Any]:
    async with session.post(url + path, json=body) as response:
        return response.status, await response.json()


async def until_full(url: str, pid: int) -> tuple[list[str], list[str], list[Any]]:
    """Write until the disk is full, make room, and go on; return what was acknowledged."""
    before, after, refusals = [], [], []
    async with aiohttp.ClientSession() as session:
        while len(refusals) < 5:
            status, answer = await ask(session, url, "/route", {"embedding": [1.0, 2.0]})
            if status == 200:
                before.append(answer["decision_id"])
            else:
                refusals.append((status, answer["error"]["message"]))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        deadline = time.monotonic() + 60
        while len(after) < 5 and time.monotonic() < deadline:
            status, answer = await ask(session, url, "/route", {"embedding": [1.0, 2.0]})
            if status == 200:
                after.append(answer["decision_id"])
            else:
                await asyncio.sleep(0.1)
    return before, after, refusals


def test_a_full_disk_refuses_clearly_and_goes_on_when_there_is_room(nursery: Nursery) -> None:
    pid, url = nursery.start(file_bytes=400_000)
    before, after, refusals = asyncio.run(until_full(url, pid))
    os.kill(pid, signal.SIGKILL)
    assert {status for status, _ in refusals} == {503}
    assert any("nothing was recorded" in message for _, message in refusals)
    assert len(after) == 5
    with EventStore.open(nursery.db, readonly=True) as store:
        kept = [event.decision_id for event in store.events(kind="decision")]
        assert verify(store).agrees
    assert [id_ for id_ in kept if id_ in {*before, *after}] == [*before, *after]


def test_a_torn_log_keeps_what_was_acknowledged(nursery: Nursery) -> None:
    clients = [Client(0)]
    pid, url = nursery.start()
    asyncio.run(one_life(clients, url, pid, 60, 0.0))
    wal = nursery.db.with_name(nursery.db.name + "-wal")
    whole = wal.read_bytes()
    for torn in (whole + os.urandom(5000), whole + whole[32:2000], whole + whole[-4120:]):
        wal.write_bytes(torn)
        # A log is torn by a loss of power, which no index in shared memory outlives.
        wal.with_name(nursery.db.name + "-shm").unlink(missing_ok=True)
        check(nursery.db, clients)
        pid, url = nursery.start()
        os.kill(pid, signal.SIGKILL)
        check(nursery.db, clients)
