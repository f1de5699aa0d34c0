"""What one turn of the event loop makes shares a write, and nothing else."""

from __future__ import annotations

import asyncio
import re
import threading

import msgspec
import pytest

from bandit_router.exceptions import StoreError
from bandit_router.service.keys import ENGINE

from .conftest import config


@pytest.fixture
async def journal(start):
    client = await start(config(embedder={"name": "none"}), embedder=None)
    return client.app[ENGINE]._journal


def switch(reason, **wrong):
    """Return what adds one event."""

    def make(batch):
        body = {"model": None, "reason": reason}
        event = batch.router.change("kill_switch", body, time=batch.time)
        batch.add(msgspec.structs.replace(event, body=body | wrong))
        return event.seq

    return make


async def test_what_is_made_together_is_written_together(journal, monkeypatch):
    submit, sizes = journal._writer.submit, []

    def counted(rows):
        sizes.append(len(rows.events))
        return submit(rows)

    monkeypatch.setattr(journal._writer, "submit", counted)
    before = journal.store.last_seq()
    seqs = await asyncio.gather(*(journal.write(switch(str(i))) for i in range(5)))
    assert seqs == [before + i for i in range(1, 6)]
    assert sizes == [5]
    assert journal.store.last_seq() == before + 5


async def test_an_event_that_cannot_be_written_harms_its_own_caller_alone(journal):
    router, before = journal.router, journal.store.last_seq()
    found = await asyncio.gather(
        journal.write(switch("one")),
        journal.write(switch("bad", extra=object())),
        journal.write(switch("two")),
        return_exceptions=True,
    )
    assert isinstance(found[1], StoreError)
    assert [found[0], found[2]] == [before + 1, before + 2]
    assert journal.router is router  # nothing of it was folded
    assert journal.store.last_seq() == before + 2


async def test_who_fails_halfway_takes_with_it_what_was_made_in_the_same_turn(journal):
    def halfway(batch):
        switch("half")(batch)
        raise RuntimeError("a bug")

    router, before = journal.router, journal.store.last_seq()
    found = await asyncio.gather(
        journal.write(switch("one")), journal.write(halfway), return_exceptions=True
    )
    assert [type(error) for error in found] == [StoreError, RuntimeError]
    while journal._router is None:
        await asyncio.sleep(0.01)
    assert journal.router is not router  # folded anew from the log
    assert await journal.write(switch("two")) == before + 1


async def test_who_leaves_takes_nobody_with_it(journal):
    before = journal.store.last_seq()
    lock: threading.Lock = journal.store._write_lock
    with lock:  # the disk is slow
        one, two = (asyncio.create_task(journal.write(switch(str(i)))) for i in range(2))
        await asyncio.sleep(0.05)
        one.cancel()
        await asyncio.sleep(0.05)
        assert one.cancelled()
        assert not two.done()
    assert await two == before + 2
    assert journal.store.last_seq() == before + 2


async def test_decisions_have_names_that_nobody_can_guess(start):
    client = await start(config(embedder={"name": "none"}), embedder=None)
    names = set()
    for _ in range(30):
        async with client.post("/route", json={"embedding": [1.0, 2.0]}) as response:
            names.add((await response.json())["decision_id"])
    assert len(names) == 30
    assert all(re.fullmatch(r"[\w-]{24}", name) for name in names)
