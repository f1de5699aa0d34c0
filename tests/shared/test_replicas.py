"""Replicas and a learner over a real PostgreSQL, in one process, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from bandit_router.config import parse_config
from bandit_router.exceptions import StoreError
from bandit_router.router import Router
from bandit_router.service import create_app
from bandit_router.service.app import SERVER
from bandit_router.service.keys import ENGINE
from bandit_router.service.opening import open_learner
from bandit_router.service.serving import refuse_open
from bandit_router.store import Outbox, open_keys, open_log, verify
from bandit_router.types import Decision, Feedback

from .proxy import Proxy

CONFIG = parse_config(
    {
        "embedder": {"name": "none"},
        "store": {"snapshot_every": 25},
        "models": [{"name": "small"}, {"name": "large", "input_usd_per_m": 1.0}],
    }
)
VECTOR = [0.6, 0.8, 0.0]
Start = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
def start(aiohttp_client: Any, url: str, tmp_path: Path) -> Start:
    """Start a replica, by the name of its outbox; ready when it returns."""

    async def start(
        name: str, *, at: str | None = None, ready: bool = True, **options: Any
    ) -> TestClient[Any, Any]:
        options = {"db": at or url, "outbox": tmp_path / f"{name}.db", "learns": False, **options}
        server = TestServer(create_app(CONFIG, **options))
        await server.start_server(**SERVER)
        client: TestClient[Any, Any] = await aiohttp_client(server)
        if ready:
            await client.app[ENGINE].wait()
        return client

    return start


@pytest.fixture
async def proxy(postgres: Any) -> AsyncIterator[Proxy]:
    made = Proxy(postgres.port)
    await made.start()
    yield made
    await made.stop()


async def post(client: TestClient[Any, Any], path: str, body: Any, **headers: str) -> Any:
    async with client.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def decide(client: TestClient[Any, Any], **fields: Any) -> str:
    status, answer = await post(client, "/route", {"embedding": VECTOR, **fields})
    assert status == 200, answer
    return str(answer["decision_id"])


async def say(client: TestClient[Any, Any], id_: str, reward: float) -> Any:
    status, answer = await post(client, "/feedback", {"decision_id": id_, "reward": reward})
    return answer["status"] if status == 200 else status


async def ready(client: TestClient[Any, Any]) -> dict[str, Any]:
    async with client.get("/readyz") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while True:
        found = true()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < end, "it never became true"
        await asyncio.sleep(0.02)


async def folded(url: str, decisions: int, feedback: int) -> None:
    """Wait until the log has so many events, then fold it again and compare digests."""
    with closing(open_log(url, readonly=True)) as log:
        wanted = {"decision": decisions, "feedback": feedback}
        await until(lambda: {k: log.counts().get(k, 0) for k in wanted} == wanted)
        report = await asyncio.to_thread(verify, log)
        assert report.agrees
        said = [e for e in log.events() if isinstance(e, Decision | Feedback)]
        once = {(e.decision_id, getattr(e, "reward", None)) for e in said}
        assert len(once) == len(said)


async def test_what_one_replica_decides_another_may_hear_of(start: Start, url: str):
    one, two = await start("one", learns=True), await start("two")
    id_ = await decide(one)
    assert await say(two, id_, 1.0) == "recorded"  # it may not have been told of the decision yet
    await until(lambda: not one.app[ENGINE]._journal.away)  # a busy machine may be slow to begin
    assert await say(one, "nonsense", 1.0) == 404
    assert (await post(two, "/feedback", {"decision_id": id_, "reward": 2.0}))[0] == 422
    await folded(url, 1, 1)
    three = await start("three")
    assert await say(three, id_, 1.0) == "duplicate"
    assert await say(three, id_, 0.0) == "updated"
    # As far as it knows by then; the learner knows better.
    assert await say(two, id_, 0.0) in ("updated", "duplicate")
    async with three.get(f"/decisions/{id_}") as answer:
        assert (await answer.json())["feedback"]
    await folded(url, 1, 2)
    found = await ready(two)
    assert not found["freshness"]["stale"]
    assert found["freshness"]["age_s"] < 5.0
    async with two.get("/metrics") as answer:
        shown = await answer.text()
    assert "bandit_router_stale 0.0" in shown
    assert "bandit_router_outbox_events" in shown
    assert "bandit_router_state_age_seconds" in shown


async def test_draws_differ_within_one_state(start: Start):
    client = await start("one", learns=True)
    router = client.app[ENGINE].router
    chosen = {(await post(client, "/route", {"embedding": VECTOR}))[1]["model"] for _ in range(40)}
    assert client.app[ENGINE].router.models == router.models
    assert chosen == {"small", "large"}


async def test_a_change_is_seen_by_who_made_it_and_by_the_others(start: Start, url: str):
    one, two = await start("one", learns=True), await start("two")
    assert (await post(one, "/models", {"name": "third"}))[0] in (200, 201)
    assert "third" in one.app[ENGINE].router.models
    await until(lambda: "third" in two.app[ENGINE].router.models)
    assert (await post(two, "/models", {"name": "a,b"}))[0] == 422


async def test_keys_hold_everywhere(start: Start, url: str):
    one, two = await start("one", learns=True), await start("two")
    with open_keys(url) as keys:
        _, mine = keys.add("mine")
        _, other = keys.add("other")
    await until(lambda: len(two.app[ENGINE]._journal.keys.all()) == 2)
    await until(lambda: len(one.app[ENGINE]._journal.keys.all()) == 2)
    for client in (one, two):
        client.app[ENGINE].keyring._read_at = -1.0
    assert (await post(one, "/route", {"embedding": VECTOR}))[0] == 401
    status, answer = await post(
        one, "/route", {"embedding": VECTOR}, Authorization=f"Bearer {mine}"
    )
    assert status == 200
    said = {"decision_id": answer["decision_id"], "reward": 1.0}
    assert (await post(two, "/feedback", said, Authorization=f"Bearer {mine}"))[0] == 200
    assert (await post(two, "/feedback", said, Authorization=f"Bearer {other}"))[0] in (403, 404)
    await folded(url, 1, 1)
    with closing(open_log(url, readonly=True)) as log:
        assert {e.body["keys"] is not None for e in log.events(kind="change") if e.what == "keys"}


def test_a_replica_that_knows_of_keys_may_start_while_the_database_is_away(tmp_path: Path):
    pytest.importorskip("psycopg", exc_type=ImportError)
    away = "postgresql://me@127.0.0.1:1/x"
    with pytest.raises(StoreError):
        refuse_open("0.0.0.0", away, tmp_path / "new.db")
    with closing(Outbox(tmp_path / "used.db")) as box:
        box.keep("keys", b'[{"id": "a"}]')
    refuse_open("0.0.0.0", away, tmp_path / "used.db")


@pytest.mark.parametrize("how", ["cut", "hold"])
async def test_the_database_away(
    start: Start, url: str, postgres: Any, proxy: Proxy, tmp_path: Path, how: str, monkeypatch: Any
):
    monkeypatch.setattr("bandit_router.service.shared.link.SILENCE_SECONDS", 1.0)
    name = url.rsplit("/", 1)[-1]
    learner = open_learner(CONFIG, url)
    learner.start()
    try:
        client = await start("one", at=postgres.url(name, proxy.port))
        ids = [await decide(client) for _ in range(5)]
        await folded(url, 5, 0)
        getattr(proxy, how)()
        await until(lambda: client.app[ENGINE].freshness().stale)
        ids += [await decide(client) for _ in range(5)]
        assert [await say(client, id_, 1.0) for id_ in ids] == ["recorded"] * 10
        assert await say(client, ids[0], 1.0) == "duplicate"
        found = (await ready(client))["freshness"]
        assert found["stale"]
        assert found["pending"] == 15
        assert "away" in found["reason"]
        # It starts again from what it kept, and still has what it acknowledged.
        await client.close()
        client = await start("one", at=postgres.url(name, proxy.port))
        ids.append(await decide(client))
        assert await say(client, ids[7], 0.0) == "updated"
        proxy.mend()
        await folded(url, 11, 11)
        await until(lambda: not client.app[ENGINE].freshness().stale)
    finally:
        await asyncio.to_thread(learner.close)


async def test_no_learner_makes_replicas_stale_and_loses_nothing(
    start: Start, url: str, monkeypatch: Any
):
    monkeypatch.setattr("bandit_router.service.shared.replica.STALE_SECONDS", 1.0)
    learner = open_learner(CONFIG, url)
    learner.start()
    client = await start("one")
    await decide(client)
    await folded(url, 1, 0)
    await asyncio.to_thread(learner.close)
    await until(lambda: client.app[ENGINE].freshness().stale)
    assert "learner" in (await ready(client))["freshness"]["reason"]
    id_ = await decide(client)
    assert await say(client, id_, 1.0) == "recorded"
    other = open_learner(CONFIG, url)
    other.start()
    try:
        await folded(url, 2, 1)
        await until(lambda: not client.app[ENGINE].freshness().stale)
    finally:
        await asyncio.to_thread(other.close)


async def test_the_state_is_that_of_one_process(start: Start, url: str):
    """Three replicas at once: their log, folded by one router, is the learner's state, bit for bit.

    And where each prompt lies in it is where that one router would have put it.
    """
    clients = [await start("one", learns=True), await start("two"), await start("three")]
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(4, 8))

    async def talk(client: TestClient[Any, Any], seed: int) -> None:
        mine = np.random.default_rng(seed)
        for _ in range(60):
            where = centres[mine.integers(4)] + mine.normal(scale=0.1, size=8)
            id_ = await decide(client, embedding=where.tolist(), session_id=str(mine.integers(9)))
            other = clients[mine.integers(3)]
            assert await say(other, id_, float(mine.random() < 0.6)) == "recorded"

    await asyncio.gather(*(talk(client, i) for i, client in enumerate(clients)))
    await folded(url, 180, 180)
    with closing(open_log(url, readonly=True)) as log:
        router: Router | None = None
        for event in log.events():
            if router is None:
                router = Router.restore([event], recall=log.recall)
                continue
            if isinstance(event, Decision):
                assert event.path == router.strategies.locate(event.embedding())
            router.apply(event)
        assert router is not None
        await until(lambda: clients[1].app[ENGINE].router.seq == router.seq)
        for client in clients:
            await until(lambda c=client: c.app[ENGINE].router.snapshot() == router.snapshot())
