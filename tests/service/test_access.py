"""API keys over real HTTP: who gets in, how far, how often, and what is never shown."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import closing

import pytest

from bandit_router.config import parse_config
from bandit_router.exceptions import ConfigError, InvalidInput
from bandit_router.service import page, run
from bandit_router.service.app import OPERATIONS
from bandit_router.service.keys import ENGINE
from bandit_router.service.links import Links
from bandit_router.store import KeyStore

from .conftest import MODELS, config, state
from .upstreams import OpenAIProvider

SECRET = "a signing secret of forty-two characters.."


@pytest.fixture
def keys(db):
    with KeyStore(db) as store:
        yield store


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


async def call(client, method, path, key=None, body=None):
    headers = bearer(key) if key else {}
    async with client.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def route(client, key=None, **fields):
    return await call(client, "POST", "/route", key, {"prompt": "some words", **fields})


async def vote(client, id_, key=None, reward=1.0, **fields):
    said = {"decision_id": id_, "reward": reward, **fields}
    return await call(client, "POST", "/feedback", key, said)


async def test_a_key_is_asked_for_as_soon_as_there_is_one_and_ever_after(start, keys):
    client = await start()
    assert (await route(client))[0] == 200
    made, text = keys.add("app")
    client.app[ENGINE].keyring._read_at = -1.0  # as if a second had passed
    status, answer, headers = await route(client)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert answer["error"]["type"] == "unauthorized"
    for wrong in ("x", text[:-1], text + "x", f"br_{made.id}_", "br_" + "0" * 12 + text[15:], "é"):
        assert (await route(client, wrong))[0] == 401
    assert (await route(client, text))[0] == 200
    keys.revoke("app")
    client.app[ENGINE].keyring._read_at = -1.0
    assert (await route(client, text))[0] == 401
    assert (await route(client))[0] == 401  # revoking the last key opens no door
    assert (await call(client, "GET", "/healthz"))[0] == 200


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
async def test_every_operation_wants_its_scope(start, keys, operation):
    others = [s for s in ("route", "feedback", "admin") if s not in operation.scopes]
    client = await start()
    before = state(client)
    _, wrong = keys.add("wrong", others or ["route"])
    client.app[ENGINE].keyring._read_at = -1.0
    path = operation.path.replace("{id}", "x").replace("{name:.+}", "x")
    if not operation.scopes:
        assert (await call(client, operation.method, path))[0] not in (401, 429)
        return
    assert (await call(client, operation.method, path))[0] == 401
    status, answer, _ = await call(client, operation.method, path, wrong, {})
    assert status == 403
    assert operation.scopes[0] in answer["error"]["message"]
    assert state(client) == before


async def test_a_route_that_nobody_opened_stays_shut(start, keys):
    client = await start()
    keys.add("app")
    client.app[ENGINE].keyring._read_at = -1.0
    described = {(o.method, o.path) for o in OPERATIONS}
    open_ = 0
    for route_ in client.app.router.routes():
        path = route_.resource.canonical
        if route_.method == "HEAD" or (route_.method, path) in described or "{" in path:
            continue
        status = (await client.request(route_.method, path)).status
        assert (status == 401) is (path not in page.PUBLIC), path
        open_ += status != 401
    assert open_ > 1


async def test_feedback_comes_from_the_key_that_decided(start, keys):
    _, mine = keys.add("mine")
    _, theirs = keys.add("theirs")
    _, admin = keys.add("admin", ["admin"])
    client = await start()
    id_ = (await route(client, mine))[1]["decision_id"]
    assert len(id_) > 20
    before = state(client)
    status, answer, _ = await vote(client, id_, theirs)
    assert (status, answer["error"]["field"]) == (403, "decision_id")
    batch = {"feedback": [{"decision_id": id_, "reward": 0.0}]}
    _, answer, _ = await call(client, "POST", "/feedback/batch", theirs, batch)
    assert answer["results"][0]["error"]["type"] == "forbidden"
    assert (await call(client, "GET", f"/decisions/{id_}", theirs))[0] == 403
    assert state(client) == before
    assert (await vote(client, id_, mine))[1] == {"status": "recorded"}
    assert (await call(client, "GET", f"/decisions/{id_}", mine))[0] == 200
    assert (await call(client, "GET", f"/decisions/{id_}", admin))[0] == 200


async def test_rates_and_budgets_of_a_key(start, keys):
    _, slow = keys.add("slow", requests_per_minute=3)
    made, poor = keys.add("poor", usd_per_day=0.005)
    _, spent = keys.add("spent", usd_total=0.005)
    client = await start()
    found = [(await route(client, slow)) for _ in range(4)]
    assert [status for status, _, _ in found] == [200, 200, 200, 429]
    assert 0 < int(found[-1][2]["Retry-After"]) <= 20
    for key, code in ((poor, 429), (spent, 403)):
        for _ in range(50):
            status, answer, headers = await route(client, key)
            if status != 200:
                break
            await vote(client, answer["decision_id"], key, cost_usd=1.0)  # believed in part
        assert status == code
        assert "USD" in answer["error"]["message"]
        assert code == 403 or 0 < int(headers["Retry-After"]) <= 86_400
    router = client.app[ENGINE].router
    again = type(router).restore([], state=router.snapshot())
    assert again.accounts.exhausted(made.id, time.time()) == "day"


async def test_a_key_budget_is_paced(start, keys):
    made, text = keys.add("paced", usd_per_day=0.01)
    _, free = keys.add("free")
    client = await start()
    for _ in range(40):
        status, answer, _ = await route(client, text)
        if status == 429:
            break
        cost = 0.004 if "large" in answer["model"] else 0.00001
        await vote(client, answer["decision_id"], text, cost_usd=cost)
    assert client.app[ENGINE].router.accounts.total(made.id) < 0.02
    weights = []
    for key in (text, free):
        status, answer, _ = await route(client, key)
        if status == 200:
            router = client.app[ENGINE].router
            weights.append(router.history(answer["decision_id"]).decision.utility.cost_weight)
    assert weights[-1] == 0.0  # the other key is not slowed down


async def test_a_budget_holds_for_requests_that_come_at_once(start, keys):
    made, text = keys.add("burst", usd_total=0.005)
    client = await start()
    found = await asyncio.gather(*(route(client, text) for _ in range(60)))
    assert {status for status, _, _ in found} == {200, 403}
    router = client.app[ENGINE].router
    dearest = max(arm.cost_usd for arm in router.arms())
    assert 0.005 <= router.accounts.total(made.id) <= 0.005 + dearest


async def test_what_is_under_way_counts_while_it_is_no_bill(start, keys):
    """Models that are named, with answers that take a while; and one that is not waited for."""
    made, text = keys.add("app", usd_total=0.0015)
    provider = OpenAIProvider()
    provider.gate.clear()
    async with provider.served("/chat/completions"):
        model = {"name": "m", "output_usd_per_m": 2.0, "endpoints": [{"base_url": provider.url}]}
        client = await start(parse_config({"models": [model]}))
        talk = [{"role": "user", "content": "hello"}]

        async def ask():
            body = {"model": "m", "messages": talk}
            return await call(client, "POST", "/v1/chat/completions", text, body)

        asked = [asyncio.create_task(ask()) for _ in range(8)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        while len(refused) < 5:
            refused = {task for task in asked if task.done()}
            await asyncio.sleep(0.01)
        for task in refused:
            status, answer, headers = task.result()
            assert (status, headers["Retry-After"]) == (429, "1"), answer
        under_way = [task for task in asked if not task.done()]
        assert len(under_way) == 3  # of 0.0006 each
        under_way[0].cancel()
        await asyncio.wait_for(provider.left.wait(), 5)
        provider.gate.set()
        assert [status for status, _, _ in await asyncio.gather(*under_way[1:])] == [200, 200]
        router = client.app[ENGINE].router
        left, billed = 0.0006, 20 * 2e-6
        assert router.accounts.total(made.id) == pytest.approx(left + 2 * billed)
        assert (await ask())[0] == 200  # nothing is held any more


async def test_a_routed_stream_that_is_left_is_billed_beyond_what_was_expected(start, keys):
    made, text = keys.add("app")
    provider = OpenAIProvider()
    provider.gate.clear()
    async with provider.served("/chat/completions"):
        model = {"name": "m", "input_usd_per_m": 2.0, "endpoints": [{"base_url": provider.url}]}
        client = await start(parse_config({"models": [model]}))
        talk = [{"role": "user", "content": "hello " * 5_000}]  # more than is usual
        body = {"model": "auto", "messages": talk, "stream": True}
        answer = await client.post("/v1/chat/completions", json=body, headers=bearer(text))
        id_ = answer.headers["x-bandit-router-decision-id"]
        await answer.content.readany()
        answer.close()
        await asyncio.wait_for(provider.left.wait(), 5)
        router = client.app[ENGINE].router
        expected = router.history(id_).decision.chosen.cost_usd
        for _ in range(200):
            if (spent := router.accounts.total(made.id)) != expected:
                break
            await asyncio.sleep(0.01)
        assert expected < 0.002 < 0.015 == pytest.approx(spent, rel=0.01)


async def test_a_stream_that_is_left_is_billed_all_the_same(start, keys):
    made, text = keys.add("app")
    provider = OpenAIProvider()
    provider.gate.clear()
    async with provider.served("/chat/completions"):
        model = {"name": "m", "output_usd_per_m": 2.0, "endpoints": [{"base_url": provider.url}]}
        client = await start(parse_config({"models": [model]}))
        talk = [{"role": "user", "content": "hello"}]
        body = {"model": "m", "messages": talk, "stream": True}
        answer = await client.post("/v1/chat/completions", json=body, headers=bearer(text))
        await answer.content.readany()
        answer.close()
        await asyncio.wait_for(provider.left.wait(), 5)
        router = client.app[ENGINE].router
        for _ in range(200):
            if spent := router.accounts.total(made.id):
                break
            await asyncio.sleep(0.01)
        assert spent > 0.0


async def test_a_signed_link_takes_feedback_without_a_key(start, keys, monkeypatch):
    monkeypatch.setenv("LINKS", SECRET)
    _, text = keys.add("app")
    client = await start(config(keys={"signing_secret_env": "LINKS"}))
    link = (await route(client, text))[1]["feedback_url"]
    assert (await call(client, "POST", link, body={"rating": "up"}))[1] == {"status": "recorded"}
    assert (await call(client, "POST", link, body={"rating": "up"}))[1] == {"status": "duplicate"}
    other = (await route(client, text))[1]
    before = state(client)
    stolen = link.replace(link.split("decision_id=")[1].split("&")[0], other["decision_id"])
    late = Links(SECRET, days=1).make(other["decision_id"], now=0.0)
    for wrong in (stolen, late, link[:-1] + "x", link.replace("expires=", "expires=9"), "?x"):
        path = wrong if wrong.startswith("/") else f"/feedback/signed{wrong}"
        assert (await call(client, "POST", path, body={"rating": "down"}))[0] == 403
    for when in ("never", "nan", "inf", "1e400"):  # signed by somebody's own code
        signature = Links(SECRET, days=1)._sign(other["decision_id"], when)
        path = f"/feedback/signed?decision_id={other['decision_id']}&expires={when}"
        said = await call(client, "POST", f"{path}&signature={signature}", body={"rating": "up"})
        assert said[0] == 403
    assert (await call(client, "POST", link, body={"rating": "up", "weight": 9}))[0] == 422
    assert state(client) == before
    async with client.post("/v1/chat/completions", headers=bearer(text)) as response:
        assert response.status == 415


async def test_without_a_secret_there_are_no_links(client):
    assert "feedback_url" not in (await route(client))[1]
    assert (await call(client, "POST", "/feedback/signed?expires=nan", body={}))[0] == 403


def test_a_short_or_missing_secret_is_refused(monkeypatch):
    for value in ("short", None):
        if value is not None:
            monkeypatch.setenv("LINKS", value)
        with pytest.raises(ConfigError, match="LINKS"):
            Links.of(config(keys={"signing_secret_env": "LINKS"}).settings.keys)


async def test_no_secret_is_kept_or_told(start, db, keys, monkeypatch, caplog):
    monkeypatch.setenv("LINKS", SECRET)
    caplog.set_level(logging.DEBUG)
    made, text = keys.add("app", ["route", "feedback", "admin"])
    secret = text.removeprefix(f"br_{made.id}_")
    client = await start(config(keys={"signing_secret_env": "LINKS"}))
    said = []
    for path in [o.path for o in OPERATIONS if o.method == "GET" and "{" not in o.path]:
        async with client.get(path, headers=bearer(text)) as response:
            said.append(await response.text())
    said.append(str((await route(client, text))[1]))
    said.append(str((await route(client, text + "?"))[1]))
    said += [caplog.text, repr(keys.all())]
    await client.close()
    files = [file.read_bytes() for file in db.parent.iterdir()]
    for hidden in (secret, SECRET):
        assert not [text for text in said if hidden in text]
        assert not [data for data in files if hidden.encode() in data]
    with closing(sqlite3.connect(db)) as kept:
        assert kept.execute("SELECT hash FROM api_keys").fetchone()[0] == made.hash


async def test_other_sites_may_not_call_unless_named(start):
    client = await start(config(server={"cors_origins": ["https://good.example"]}))
    for origin, allowed in (("https://good.example", True), ("https://evil.example", False)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        async with client.options("/route", headers=asked) as response:
            assert response.status == (204 if allowed else 405)
            assert ("Access-Control-Allow-Origin" in response.headers) is allowed
        async with client.post(
            "/route", json={"prompt": "words"}, headers={"Origin": origin}
        ) as response:
            assert response.status == 200
            told = response.headers.get("Access-Control-Allow-Origin")
            assert told == (origin if allowed else None)
    # Errors must be readable too.
    async with client.post("/route", headers={"Origin": "https://good.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://good.example"


@pytest.mark.parametrize("path", ["/healthz", "/map", "/nothing", "/map/map.js"])
async def test_security_headers(client, path):
    async with client.get(path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "bandit-router"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Cache-Control"] in ("no-store", "no-cache")
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_nobody_listens_beyond_loopback_without_a_key(db, host, embedder):
    with pytest.raises(ConfigError, match="keys add"):
        run(config(), db=db, host=host, port=0, embedder=embedder)


def test_limits_that_make_no_sense(keys):
    for wrong in ({"name": " "}, {"name": "x", "scopes": ["root"]}, {"name": "x", "usd_total": 0}):
        with pytest.raises(InvalidInput):
            keys.add(**wrong)
    keys.add("x")
    with pytest.raises(InvalidInput, match="revoke it first"):
        keys.add("x")
    keys.add("café")
    for same in ("cafe\u0301", " café", "\uff43\uff41\uff46é"):  # what looks the same is the same
        with pytest.raises(InvalidInput, match="revoke it first"):
            keys.add(same)
    made, _ = keys.add("y")
    keys.add(made.id)  # an id is one before it is a name
    assert keys.revoke(made.id).name == "y"
    assert keys.revoke("cafe\u0301").name == "café"
    with pytest.raises(InvalidInput, match="keys list"):
        keys.revoke("y")


async def test_one_key_among_several_is_capped(start, keys):
    _, loud = keys.add("loud")
    keys.add("quiet")
    client = await start(config(feedback={"key_cap": 5}, models=MODELS[:1]))
    for _ in range(30):
        answer = (await route(client, loud))[1]
        for source in ("a", "b", "c"):
            await vote(client, answer["decision_id"], loud, 0.0, source=source, weight=100)
    [arm] = client.app[ENGINE].router.arms()
    assert arm.evidence == pytest.approx(5.0, abs=0.1)
