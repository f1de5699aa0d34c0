"""Clients that note what they were told, and the proof that all of it is in the log, once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
from collections import Counter
from contextlib import closing
from typing import Any

import aiohttp

from bandit_router.store import open_log, restore, verify
from bandit_router.types import Decision, Feedback


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


async def all_is_there(clients: list[Client], url: str) -> None:
    """Hold what clients were told against the log."""
    decided = {id_: model for client in clients for id_, model in client.decided.items()}
    said = {id_: reward for client in clients for id_, reward in client.said.items()}
    unsure = {id_ for client in clients for id_ in client.unsure}
    statuses = sum((client.statuses for client in clients), Counter[int]())
    assert set(statuses) <= {200, 502, 503, 504}, statuses  # of a proxy, if one is between
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


async def serving(session: aiohttp.ClientSession, urls: list[str]) -> None:
    """Wait until whoever is at these URLs decides."""
    for url in urls:
        for _ in range(300):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{url} never became ready")
