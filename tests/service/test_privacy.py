"""What is kept of a prompt, for how long, and that erased means gone."""

from __future__ import annotations

import asyncio
import sys
import time
import types

import pytest

from bandit_router.exceptions import ConfigError
from bandit_router.service import caretaker
from bandit_router.service.caretaker import Caretaker
from bandit_router.service.keys import ENGINE
from bandit_router.store import EventStore, verify

from .conftest import config

NEEDLE = "xylophone"


@pytest.fixture
def hooks(monkeypatch):
    module = types.ModuleType("hooks_of_ours")
    module.scrub = lambda text: text.replace(NEEDLE, "[thing]")
    module.breaks = lambda text: 1 / 0
    module.wrong = lambda text: None
    module.number = 3
    monkeypatch.setitem(sys.modules, "hooks_of_ours", module)


def files(db):
    return b"".join(file.read_bytes() for file in db.parent.iterdir() if file.is_file())


async def route(client, **fields):
    body = {"prompt": f"a {NEEDLE} of mine", "metadata": {"note": NEEDLE}, **fields}
    async with client.post("/route", json=body) as response:
        return response.status, await response.json()


async def explain(client, id_):
    async with client.get(f"/decisions/{id_}") as response:
        return response.status, await response.json()


async def test_text_is_kept_only_when_switched_on(start, db):
    client = await start()
    _, answer = await route(client, metadata={})
    _, why = await explain(client, answer["decision_id"])
    assert why["prompt"] is None
    assert why["prompt_chars"] == len(f"a {NEEDLE} of mine")
    assert len(why["prompt_sha256"]) == 64
    await client.close()
    assert NEEDLE.encode() not in files(db)


async def test_what_is_deleted_is_gone_from_every_answer_and_file(start, db):
    client = await start(config(store={"keep_prompts": True}))
    _, answer = await route(client)
    id_ = answer["decision_id"]
    await client.post("/feedback", json={"decision_id": id_, "reward": 1.0})
    before = await (await client.get("/models")).json()
    _, why = await explain(client, id_)
    assert NEEDLE in why["prompt"]
    async with client.delete(f"/decisions/{id_}") as response:
        assert (await response.json()) == {"decision_id": id_, "status": "erased"}
    assert NEEDLE.encode() not in files(db)  # at once
    _, why = await explain(client, id_)
    assert (why["prompt"], why["prompt_sha256"], why["request"]["metadata"]) == (None, None, {})
    assert await (await client.get("/models")).json() == before  # what it taught stays
    async with client.delete("/decisions/nobody") as response:
        assert response.status == 404
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        assert verify(store).agrees


async def test_only_who_made_it_may_delete_it(start, db):
    from bandit_router.store import KeyStore

    with KeyStore(db) as keys:
        (_, mine), (_, theirs) = keys.add("mine"), keys.add("theirs")
    client = await start()
    headers = {"Authorization": f"Bearer {mine}"}
    async with client.post("/route", json={"prompt": "words"}, headers=headers) as response:
        id_ = (await response.json())["decision_id"]
    for key, status in ((theirs, 403), (mine, 200)):
        headers = {"Authorization": f"Bearer {key}"}
        async with client.delete(f"/decisions/{id_}", headers=headers) as response:
            assert response.status == status


async def test_redaction_comes_before_everything(start, db, hooks):
    client = await start(config(store={"keep_prompts": True, "redact": "hooks_of_ours:scrub"}))
    _, answer = await route(client, metadata={})
    _, why = await explain(client, answer["decision_id"])
    assert why["prompt"] == "a [thing] of mine"
    other = await route(client, prompt="a [thing] of mine", metadata={})
    _, same = await explain(client, other[1]["decision_id"])
    assert same["prompt_sha256"] == why["prompt_sha256"]  # the hash is of what was left
    router = client.app[ENGINE].router
    one, two = (router.history(a["decision_id"]).decision for a in (answer, other[1]))
    assert one.vector == two.vector  # and so is the embedding
    await client.close()
    assert NEEDLE.encode() not in files(db)


@pytest.mark.parametrize("name", ["breaks", "wrong"])
async def test_nothing_passes_a_hook_that_fails(start, db, hooks, name, caplog):
    client = await start(config(store={"redact": f"hooks_of_ours:{name}"}))
    status, answer = await route(client)
    assert status == 503
    assert NEEDLE not in str(answer) + caplog.text
    assert client.app[ENGINE].store.counts() == {"change": 1}


@pytest.mark.parametrize(
    "name", ["nowhere:f", "hooks_of_ours:g", "hooks_of_ours", "hooks_of_ours:number", ""]
)
async def test_a_hook_that_cannot_be_found_is_a_mistake_at_the_start(start, hooks, name):
    with pytest.raises(ConfigError, match="redact"):
        await start(config(store={"redact": name}))


async def test_retention_erases_text_and_folds_events(start, db, tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    settings = {"keep_prompts": True, "prompt_days": 2.0, "keep_days": 10.0, "snapshot_every": 5,
                "archive": str(archive)}  # fmt: skip
    client = await start(config(store=settings))
    engine = client.app[ENGINE]
    ids = [(await route(client))[1]["decision_id"] for _ in range(12)]
    caretaker = Caretaker(engine._journal, engine.config.settings.store)
    now = time.time()
    await caretaker.round(now + 86_400.0)
    assert NEEDLE in (await explain(client, ids[0]))[1]["prompt"]
    await caretaker.round(now + 3 * 86_400.0)
    assert (await explain(client, ids[-1]))[1]["prompt"] is None
    assert NEEDLE.encode() not in files(db)
    before = await (await client.get("/models")).json()
    await caretaker.round(now + 12 * 86_400.0)
    checkpoint = engine.store.checkpoint()
    assert checkpoint > 5
    assert [file.name for file in archive.iterdir()] == [f"events-to-{checkpoint}.parquet"]
    assert await (await client.get("/models")).json() == before
    assert (await explain(client, ids[0]))[0] == 404
    said = {"decision_id": ids[0], "reward": 1.0}
    async with client.post("/feedback", json=said) as response:
        assert response.status == 404  # too late, and said so
    said = {"decision_id": ids[-1], "reward": 1.0}
    async with client.post("/feedback", json=said) as response:
        assert response.status == 200
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        report = verify(store)
        assert report.agrees
        assert report.checkpoint == checkpoint
    client = await start(config(store=settings))
    assert client.app[ENGINE].router.arms()


async def test_a_service_folds_its_log_by_itself(start, db, monkeypatch):
    monkeypatch.setattr(caretaker, "_PAUSE_SECONDS", 0.05)
    settings = {"keep_days": 0.3 / 86_400, "snapshot_every": 5}
    client = await start(config(store=settings))
    store = client.app[ENGINE].store
    for _ in range(200):  # whatever it is at meanwhile, requests are answered
        folded = store.checkpoint() > 0
        assert (await route(client))[0] == 200
        if folded:
            break
        await asyncio.sleep(0.05)
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        report = verify(store)
    assert report.agrees
    assert report.checkpoint > 0
