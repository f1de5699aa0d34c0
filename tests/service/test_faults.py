"""A disk that gives I/O errors, before and after it has written: nothing counts twice."""

from __future__ import annotations

import asyncio
import random
import sqlite3

import pytest

from bandit_router.service.keys import ENGINE
from bandit_router.store import EventStore, verify
from bandit_router.types import Decision, Feedback

from .conftest import config


class Faulty:
    """A connection whose commits fail at random, before they are made or after.

    Rows that are inserted outside a transaction are committed by that.
    """

    def __init__(self, real, seed, chance):
        self._real = real
        self._rng = random.Random(seed)
        self.chance = chance
        self.faults = 0

    def __getattr__(self, name):
        return getattr(self._real, name)

    @property
    def conn(self):
        return self

    @property
    def total_changes(self):
        return self._real.conn.total_changes

    def execute(self, sql, *args):
        def run():
            return self._real.conn.execute(sql, *args)

        commits = sql.startswith("INSERT") and not self._real.conn.in_transaction
        return self._at_risk(run) if commits else run()

    def commit(self):
        return self._at_risk(self._real.commit)

    def _at_risk(self, commit):
        if self._rng.random() >= self.chance:
            return commit()
        self.faults += 1
        if self._rng.random() < 0.5:
            commit()  # it is on the disk, and nobody was told
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


async def post(client, path, body):
    """Ask until it is answered with 200, as a client that retries does."""
    refused = 0
    for _ in range(200):
        async with client.post(path, json=body) as response:
            answer = await response.json()
            if response.status == 200:
                return answer, refused
            assert response.status == 503, answer
            assert response.headers["Retry-After"]
            refused += 1
        await asyncio.sleep(0.02)
    raise AssertionError(f"never answered: {answer}")


@pytest.mark.parametrize("seed", [0, 1])
async def test_io_errors_lose_nothing_and_count_nothing_twice(start, db, seed):
    client = await start(
        config(embedder={"name": "none"}, store={"snapshot_every": 20}), embedder=None
    )
    store = client.app[ENGINE].store
    faulty = store._writer = Faulty(store._writer, seed, chance=0.15)
    decided, refusals = [], 0
    for i in range(60):
        answer, refused = await post(client, "/route", {"embedding": [1.0, i % 7]})
        said = {"decision_id": answer["decision_id"], "reward": (i % 5) / 4}
        _, more = await post(client, "/feedback", said)
        decided.append(answer["decision_id"])
        refusals += refused + more
    assert faulty.faults > 5
    assert refusals >= faulty.faults // 2
    faulty.chance = 0.0
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        events = list(store.events())
        assert verify(store).agrees
    made = [e.decision_id for e in events if isinstance(e, Decision)]
    heard = [e.decision_id for e in events if isinstance(e, Feedback)]
    assert len(set(made)) == len(made)
    assert set(decided) <= set(made)
    assert sorted(heard) == sorted(decided)  # each once, however often it was sent


async def test_a_duplicate_waits_for_what_it_repeats(start):
    client = await start(config(embedder={"name": "none"}), embedder=None)
    answer, _ = await post(client, "/route", {"embedding": [1.0, 2.0]})
    said = {"decision_id": answer["decision_id"], "reward": 1.0}
    store = client.app[ENGINE].store
    with store._write_lock:  # the disk is slow
        both = [asyncio.create_task(client.post("/feedback", json=said)) for _ in range(2)]
        done, _ = await asyncio.wait(both, timeout=0.5)
        assert not done  # neither may say that it is on the disk
    found = sorted([(await (await task).json())["status"] for task in both])
    assert found == ["duplicate", "recorded"]


async def test_a_clock_that_jumps_is_told_and_loses_nothing(start, db, monkeypatch, caplog):
    import time

    real = time.time
    settings = config(embedder={"name": "none"})
    client = await start(settings, embedder=None)
    await post(client, "/route", {"embedding": [1.0, 2.0]})
    monkeypatch.setattr(time, "time", lambda: real() + 86_400.0)
    await post(client, "/route", {"embedding": [1.0, 2.0]})
    await client.close()
    monkeypatch.setattr(time, "time", real)
    client = await start(settings, embedder=None)
    assert "behind the log" in caplog.text
    await post(client, "/route", {"embedding": [1.0, 2.0]})
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        times = [event.time for event in store.events()]
        assert verify(store).agrees
    assert times == sorted(times)
    assert times[-1] - times[0] > 86_000
