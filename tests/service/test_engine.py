"""Restarts, changed configurations, and a disk that refuses."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import numpy as np
import pytest
from aiohttp import web

from bandit_router.exceptions import ConfigError, StoreHeld
from bandit_router.service import create_app
from bandit_router.service.keys import ENGINE

from .conftest import MODELS, config, state

SMALL, LARGE = MODELS


async def post(client, path, **body):
    response = await client.post(path, json=body)
    return response.status, await response.json()


async def learn(client, n=20):
    ids = []
    for i in range(n):
        status, answer = await post(client, "/route", prompt=f"words of topic {i % 4}")
        assert status == 200
        ids.append(answer["decision_id"])
        await post(client, "/feedback", decision_id=ids[-1], reward=(i % 5) / 4)
    return ids


async def models(client):
    answer = await (await client.get("/models")).json()
    return {m["name"]: m for m in answer["models"]}


@pytest.mark.parametrize("every", [7, 1000])
@pytest.mark.parametrize("clusterer", ["dbstream", "kmeans"])
async def test_a_restart_changes_nothing(start, every, clusterer):
    settings = config(store={"snapshot_every": every}, clusterer={"name": clusterer})
    client = await start(settings)
    ids = await learn(client)
    before = state(client)
    await client.close()
    client = await start(settings)
    assert state(client) == before
    status, answer = await post(client, "/feedback", decision_id=ids[0], reward=0.0)
    assert (status, answer["status"]) == (200, "duplicate")
    status, answer = await post(client, "/feedback", decision_id=ids[0], reward=0.5)
    assert (status, answer["status"]) == (200, "updated")


async def test_a_damaged_snapshot_is_not_believed(start, db):
    client = await start()
    await learn(client)
    before = state(client)
    await client.close()
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE snapshots SET body = x'00'")
    connection.close()
    client = await start()
    assert state(client) == before


async def test_the_file_alters_what_it_alters_and_run_time_keeps_the_rest(start):
    client = await start()
    await learn(client)
    await client.post("/models", json={"name": "added"})
    await client.patch("/models/small", json={"output_usd_per_m": 9.0})
    await client.close()

    client = await start()  # the same file: what was done at run time stays
    found = await models(client)
    assert set(found) == {"small", LARGE["name"], "added"}
    assert found["small"]["output_usd_per_m"] == 9.0
    length = state(client)[0]
    await client.delete("/models/small")
    await client.close()

    client = await start()
    assert set(await models(client)) == {LARGE["name"], "added"}
    assert state(client)[0] == length + 1
    await client.close()

    cheaper = {**SMALL, "output_usd_per_m": 0.2}
    third = {"name": "third"}
    client = await start(config(models=[cheaper, third]))  # small altered, large gone
    found = await models(client)
    assert set(found) == {"small", "added", "third"}
    assert found["small"]["output_usd_per_m"] == 0.2
    assert state(client)[0] == length + 2
    await client.close()

    client = await start(config(models=[cheaper, third]))
    assert state(client)[0] == length + 2


async def test_settings_changed_in_the_file_hold_after_a_restart(start):
    client = await start()
    await learn(client)
    await client.close()
    profiles = [{"name": "cheap", "cost_weight": 2.0}]
    client = await start(config(profiles=profiles))
    assert (await post(client, "/route", prompt="a", profile="cheap"))[0] == 200
    assert client.app[ENGINE].router.settings.profiles[0].name == "cheap"


async def test_what_cannot_be_written_never_happened(start, db):
    client = await start()
    ids = await learn(client, 5)
    before = state(client)
    breaker = sqlite3.connect(db)
    breaker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    breaker.commit()
    response = await client.post("/route", json={"prompt": "lost"})
    assert response.status == 503
    assert response.headers["Retry-After"]
    assert (await response.json())["error"]["type"] == "unavailable"
    assert "disk full" in (await response.json())["error"]["message"]
    await until_folded(client)
    assert state(client) == before
    status, _ = await post(client, "/feedback", decision_id=ids[0], reward=0.9)
    assert status == 503
    breaker.execute("DROP TRIGGER full")
    breaker.commit()
    breaker.close()
    await until_folded(client)
    assert state(client) == before
    status, answer = await post(client, "/feedback", decision_id=ids[0], reward=0.9)
    assert (status, answer) == (200, {"status": "updated"})


async def until_folded(client):
    for _ in range(500):
        if (await client.get("/readyz")).status == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the router never came back")


async def fails_to_start(app, error, match):
    runner = web.AppRunner(app)
    with pytest.raises(error, match=match):
        await runner.setup()
    await runner.cleanup()


async def test_one_writer(start, db, embedder):
    await start()
    app = create_app(config(), db=db, embedder=embedder)
    await fails_to_start(app, StoreHeld, "events.db")


async def test_a_wrong_strategy_does_not_start_and_holds_no_lock(start, db, embedder):
    wrong = config(bandit={"strategy": "thomson"})
    await fails_to_start(create_app(wrong, db=db, embedder=embedder), ConfigError, "thompson")
    await start()


class Gate:
    """An embedder whose loading takes until it is told to end, or fails."""

    def __init__(self, embedder, error=None):
        self.name = embedder.name
        self.fingerprint = embedder.fingerprint
        self.open = threading.Event()
        self._embedder = embedder
        self._error = error

    def encode(self, texts) -> np.ndarray:
        assert self.open.wait(60)
        if self._error:
            raise self._error
        return self._embedder.encode(texts)


async def test_it_answers_before_the_encoder_is_warm(start, embedder):
    gate = Gate(embedder)
    client = await start(embedder=gate, ready=False)
    assert (await client.get("/healthz")).status == 200
    response = await client.get("/readyz")
    assert response.status == 503
    assert response.headers["Retry-After"]
    waiting = asyncio.ensure_future(client.post("/route", json={"prompt": "early"}))
    vector = embedder.encode(["a"])[0].tolist()
    assert (await client.post("/route", json={"embedding": vector})).status == 200
    assert not waiting.done()
    gate.open.set()
    assert (await waiting).status == 200
    assert (await client.get("/readyz")).status == 200


async def test_an_encoder_that_cannot_load_is_reported(start, embedder):
    gate = Gate(embedder, ConfigError("embedder.name: no such folder", "embedder.name"))
    gate.open.set()
    client = await start(embedder=gate, ready=False)
    response = await client.post("/route", json={"prompt": "a"})
    assert response.status == 503
    assert "no such folder" in (await response.json())["error"]["message"]
    response = await client.get("/readyz")
    assert response.status == 503
    assert "no such folder" in (await response.json())["error"]["message"]
    assert (await client.get("/healthz")).status == 200


async def test_a_log_that_cannot_be_folded_is_reported(start, db):
    client = await start()
    await learn(client, 3)
    await client.close()
    with sqlite3.connect(db) as connection:
        connection.execute("DELETE FROM snapshots")
        connection.execute("DELETE FROM events WHERE seq = 3")
    connection.close()
    client = await start(ready=False)
    response = await client.post("/route", json={"prompt": "a"})
    assert response.status == 503
    assert "folded" in (await response.json())["error"]["message"]
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/healthz")).status == 200
