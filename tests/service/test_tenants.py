"""Tenants of one process know nothing of each other: whole routers, told apart by API keys."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from bandit_router.config import Config, parse_config
from bandit_router.exceptions import ConfigError, StoreHeld
from bandit_router.service import create_app
from bandit_router.service.app import OPERATIONS
from bandit_router.service.keys import ENGINE
from bandit_router.service.page.data import DATA
from bandit_router.store import EventStore, Place, open_keys, open_log, place_of, verify
from bandit_router.types import Decision

from .upstreams import OpenAIProvider

Client = TestClient[Any, Any]
NAMES = (None, "red", "blue")
MODEL = {None: "own-model", "red": "red-model", "blue": "blue-model"}
SCOPES = ("route", "feedback", "metrics", "admin")
SECRET = "s" * 32


def tenants(**more: Any) -> Config:
    models = {name: [{"name": m, "input_usd_per_m": 1.0}] for name, m in MODEL.items()}
    return parse_config(
        {
            "models": models[None],
            "bandit": {"floor": 0.1},
            "store": {"keep_prompts": True},
            "tenants": {
                "red": {
                    "models": [*models["red"], {"name": "red-other"}],
                    "profiles": [{"name": "red-profile", "cost_weight": 0.5}],
                    "budget": {"usd_per_request": 0.01},
                },
                "blue": {
                    "models": models["blue"],
                    "bandit": {"strategy": "fixed:blue-model"},
                    "clusterer": {"resolutions": [0.8]},
                },
            },
            **more,
        }
    )


def make_keys(db: Place, **limits: dict[str, float]) -> dict[str | None, str]:
    """Make a key that may do anything, of each tenant and of the deployment itself."""
    made = {}
    for name in NAMES:
        with open_keys(place_of(name, db)) as keys:
            told = limits.get(str(name), {})
            made[name] = keys.add(f"{MODEL[name]}-key", SCOPES, **told)[1]
    return made


async def ask(
    client: Client, key: str | None, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with client.request(method, path, json=body, headers=headers) as answer:
        if answer.content_type == "application/json":
            return answer.status, await answer.json()
        return answer.status, await answer.text()


async def route(client: Client, key: str | None, prompt: str, **fields: Any) -> tuple[int, Any]:
    return await ask(client, key, "POST", "/route", {"prompt": prompt, **fields})


async def walk(client: Client, keys: dict[str | None, str]) -> dict[str | None, str]:
    """Let each tenant decide; then try everything that there is with the keys of the others."""
    ids: dict[str | None, str] = {}
    for name in NAMES:
        told = {"metadata": {"note": f"{MODEL[name]}-secret"}, "session_id": "the same"}
        status, answer = await route(client, keys[name], f"{MODEL[name]}-prompt", **told)
        assert status == 200, answer
        assert answer["model"].startswith(MODEL[name].split("-")[0])
        ids[name] = answer["decision_id"]
    # What is anybody's is told to nobody else, by whatever can be asked for.
    words = {name: {ids[name], f"{MODEL[name].split('-')[0]}-"} for name in NAMES}
    gets = [o.path for o in OPERATIONS if o.method == "GET"]
    gets += [r.path for r in DATA if r.method == "GET" and r.path != "/events"]
    for name in NAMES:
        hers = {MODEL[name], *([] if name != "red" else ["red-other"])}
        others = set(NAMES) - {name}
        foreign = set().union(*(words[other] for other in others))
        for path in gets:
            for id_ in [ids[other] for other in others] if "{" in path else [""]:
                asked = re.sub(r"{.*}", id_, path)
                status, answer = await ask(client, keys[name], "GET", asked)
                assert status in ((404, 422) if id_ else (200,)), (asked, answer)
                assert not [w for w in foreign - {id_} if w in str(answer)], (asked, answer)
        for other in others:
            for method, path, body in (
                ("POST", "/feedback", {"decision_id": ids[other], "reward": 0.0}),
                ("DELETE", f"/decisions/{ids[other]}", None),
                ("DELETE", f"/models/{MODEL[other]}", None),
                ("PATCH", f"/models/{MODEL[other]}", {"available": False}),
                ("DELETE", f"/keys/{keys[other].split('_')[1]}", None),
            ):
                status, answer = await ask(client, keys[name], method, path, body)
                assert status in (404, 405), (method, path, answer)
            assert (await route(client, keys[name], "x", models=[MODEL[other]]))[0] == 422
        listed = (await ask(client, keys[name], "GET", "/models"))[1]["models"]
        assert {model["name"] for model in listed} == hers
        said = {"decision_id": ids[name], "reward": 1.0}
        assert (await ask(client, keys[name], "POST", "/feedback", said))[0] == 200
    async with client.get("/events", headers={"Authorization": f"Bearer {keys['red']}"}) as told:
        hello = await told.content.readuntil(b"\n\n")
        assert b'"red-' in hello
        assert b"own-" not in hello
        assert b"blue-" not in hello
    assert (await route(client, keys["blue"], "x", profile="red-profile"))[0] == 422
    assert (await route(client, keys["red"], "x", profile="red-profile"))[0] == 200
    return ids


def hold(db: Place, ids: dict[str | None, str]) -> None:
    """Hold every log against what was said to it: its own, and nothing else."""
    for name in NAMES:
        with closing(open_log(place_of(name, db), readonly=True)) as log:
            assert verify(log).agrees
            decisions = [e for e in log.events() if isinstance(e, Decision)]
            seen = {d.decision_id for d in decisions}
            assert seen & set(ids.values()) == {ids[name]}
            models = {c.model for d in decisions for c in d.candidates}
            assert {m.split("-")[0] for m in models} == {MODEL[name].split("-")[0]}


async def test_what_is_one_tenants_is_nobody_elses_also_after_a_restart(start: Any, db: Path):
    keys = make_keys(db)
    client = await start(tenants())
    ids = await walk(client, keys)
    await client.close()
    hold(db, ids)
    assert sorted(f.name for f in db.parent.glob("*.db")) == [
        "events.blue.db", "events.db", "events.red.db",
    ]  # fmt: skip
    client = await start(tenants())
    for name in NAMES:
        for other in NAMES:
            status, found = await ask(client, keys[name], "GET", f"/decisions/{ids[other]}")
            assert status == (200 if name == other else 404)
            assert name != other or found["feedback"][0]["reward"] == 1.0
    settings = client.app[ENGINE].router.settings
    assert (settings.bandit.floor, settings.bandit.strategy) == (0.1, "thompson")
    hold(db, ids)


async def test_a_line_of_the_log_names_the_tenant(start: Any, db: Path, caplog: Any):
    caplog.set_level(logging.INFO, "bandit_router.request")
    keys = make_keys(db)
    client = await start(tenants())
    for name in NAMES:
        caplog.clear()
        assert (await route(client, keys[name], "x"))[0] == 200
        [line] = [r for r in caplog.records if r.name == "bandit_router.request"]
        assert getattr(line, "tenant", None) == name


async def test_budgets_and_rates_are_each_tenants_own(start: Any, db: Path):
    keys = make_keys(db, red={"usd_total": 0.001}, blue={"requests_per_minute": 1})
    client = await start(tenants())
    decided = (await route(client, keys["red"], "x"))[1]["decision_id"]
    bill = {"decision_id": decided, "reward": 1.0, "cost_usd": 0.01}
    assert (await ask(client, keys["red"], "POST", "/feedback", bill))[0] == 200
    assert [(await route(client, keys["blue"], "x"))[0] for _ in range(2)] == [200, 429]
    assert (await route(client, keys["red"], "x"))[0] == 403
    assert (await route(client, keys[None], "x"))[0] == 200


async def test_a_key_that_is_nobodys_opens_nothing(start: Any, db: Path):
    keys = make_keys(db)
    client = await start(tenants())
    id_ = {name: key.split("_")[1] for name, key in keys.items()}
    wrong = {
        None: 401, "": 401, "sk-any": 401, "br_": 401, f"br_{id_['red']}": 401,
        f"br_{id_['red']}_{keys['blue'].split('_')[2]}": 401,
        f"br_../red_{keys['red'].split('_')[2]}": 401,
    }  # fmt: skip
    for key, status in wrong.items():
        assert (await route(client, key, "x"))[0] == status, key
    # No word of the request but the key names a tenant.
    for path in ("/tenants/red/models", "/red/models", "/models?tenant=red", "/models/../red"):
        found = await ask(client, keys["blue"], "GET", path, **{"Host": "red", "X-Tenant": "red"})
        assert "red-" not in str(found).replace(path, ""), path
    # A key that is revoked goes on being its tenant's: it never falls to the deployment.
    assert (await route(client, keys["red"], "x"))[0] == 200
    with open_keys(place_of("red", db)) as store:
        store.revoke("red-model-key")
    for _ in range(200):
        if (status := (await route(client, keys["red"], "x"))[0]) != 200:
            break
        await asyncio.sleep(0.02)
    assert status == 401


async def test_without_any_key_tenants_are_closed_and_health_is_open(start: Any, db: Path):
    client = await start(tenants())
    assert (await route(client, None, "x"))[0] == 401
    first = {"name": "a", "scopes": list(SCOPES), "confirm": "every request needs a key"}
    assert (await ask(client, None, "POST", "/keys", first))[0] == 401
    assert (await ask(client, None, "GET", "/healthz"))[0] == 200
    for _ in range(500):
        if (found := await ask(client, None, "GET", "/readyz"))[0] == 200:
            break
        await asyncio.sleep(0.02)
    assert found[0] == 200, found


async def test_a_tenant_is_told_once_to_go_ahead(start: Any, db: Path):
    keys = make_keys(db)
    client = await start(tenants())
    body = b'{"prompt": "hello"}'
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(
        b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n"
        % (len(body), keys["red"].encode())
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_keys_that_cannot_be_read_are_no_concern_of_others(start: Any, db: Path):
    keys = make_keys(db)
    client = await start(tenants())
    with closing(sqlite3.connect(place_of("red", db))) as broken:
        broken.execute("ALTER TABLE api_keys RENAME TO gone")
    for _ in range(200):
        if (found := await route(client, "br_00_x", "x"))[0] == 503:
            break
        await asyncio.sleep(0.02)
    for status, answer in (found, await route(client, keys["red"], "x")):
        assert status == 503
        assert "red" not in str(answer)
    for name in (None, "blue"):
        assert (await route(client, keys[name], "x"))[0] == 200


async def test_a_link_is_for_one_tenant(start: Any, db: Path, monkeypatch: Any):
    monkeypatch.setenv("LINKS", SECRET)
    keys = make_keys(db)
    client = await start(tenants(keys={"signing_secret_env": "LINKS"}))
    link = (await route(client, keys["red"], "x"))[1]["feedback_url"]
    said = {"rating": "up"}
    for moved in (link.replace("tenant=red", "tenant=blue"), link.replace("&tenant=red", "")):
        assert moved != link
        assert (await ask(client, None, "POST", moved, said))[0] == 403
    for key in (None, keys["blue"]):  # whoever else one is
        assert (await ask(client, key, "POST", link, said))[0] == 200
    own = (await route(client, keys[None], "x"))[1]["feedback_url"]
    assert (await ask(client, None, "POST", f"{own}&tenant=red", said))[0] == 403
    assert (await ask(client, None, "POST", own, said))[0] == 200


async def test_a_copied_database_lets_nobody_in_twice(start: Any, db: Path):
    keys = make_keys(db)
    shutil.copy(place_of("red", db), place_of("blue", db))
    client = await start(tenants())
    status, answer = await route(client, keys["red"], "x")
    assert status == 401
    assert "more than one tenant" in answer["error"]["message"]
    assert (await route(client, keys[None], "x"))[0] == 200


async def test_a_tenant_that_cannot_start_is_named_and_nothing_stays_held(db: Path, embedder: Any):
    app = create_app(tenants(), db=db, embedder=embedder)
    with closing(EventStore.open(place_of("blue", db))):
        runner = web.AppRunner(app)
        with pytest.raises(StoreHeld, match=r"events\.blue\.db"):
            await runner.setup()
        await runner.cleanup()
    with closing(EventStore.open(db)), closing(EventStore.open(place_of("red", db))):
        pass


async def test_each_tenants_gateway_calls_its_own_models(start: Any, db: Path):
    keys = make_keys(db)
    red, blue = OpenAIProvider(), OpenAIProvider()
    async with red.served("/chat/completions"), blue.served("/chat/completions"):
        served = {
            name: {"models": [{"name": MODEL[name], "endpoints": [{"base_url": up.url}]}]}
            for name, up in (("red", red), ("blue", blue))
        }
        client = await start(tenants(tenants=served))
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        status, _ = await ask(client, keys["red"], "POST", "/v1/chat/completions", body)
        assert status == 200
        assert (len(red.seen), len(blue.seen)) == (1, 0)


BAD = [
    ({"../x": {}}, "tenants", "no name"),
    ({"a/b": {}}, "tenants", "no name"),
    ({"": {}}, "tenants", "no name"),
    ({".": {}}, "tenants", "no name"),
    ({"A": {}}, "tenants", "lower-case"),
    ({"a\n": {}}, "tenants", "no name"),
    ({"a" * 41: {}}, "tenants", "39"),
    ({"a": 3}, "tenants", "object"),
    ({"a": {"server": {"port": 1}}}, "tenants.a.server", "one address"),
    ({"a": {"store": {"path": "b.db"}}}, "tenants.a.store.path", "leave it out"),
    ({"a": {"store": 3}}, "tenants.a.store", "object"),
    ({"a": {"store": {"archive": 3}}}, "tenants.a.store.archive", "str"),
    ({"a": {"tenants": {"b": {}}}}, "tenants.a.tenants", "none of its own"),
    ({"a": {"bandit": {"strenght": 1}}}, "tenants.a.bandit.strenght", "strength"),
    ({"a": {"bandt": {}}}, "tenants.a.bandt", "bandit"),
    ({"a": {"models": [{"name": "x"}], "bandit": {"dry_run": "own-model"}}},
     "tenants.a.bandit.dry_run", "no model"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "field", "hint"), BAD)
def test_a_bad_tenant_is_refused_by_name(raw: Any, field: str, hint: str):
    with pytest.raises(ConfigError) as caught:
        tenants(tenants=raw)
    assert caught.value.field == field
    assert hint in str(caught.value)


def test_a_tenant_has_what_it_does_not_say_from_the_file():
    found = tenants(store={"archive": "old", "keep_days": 3.0}).tenants
    red, blue = found["red"], found["blue"]
    assert red.settings.bandit.floor == blue.settings.bandit.floor == 0.1
    assert (red.settings.bandit.strategy, blue.settings.bandit.strategy) == (
        "thompson", "fixed:blue-model",
    )  # fmt: skip
    assert [c.settings.store.archive for c in (red, blue)] == ["old/red", "old/blue"]
    assert [m.name for m in tenants(tenants={"a": {}}).tenants["a"].models] == [MODEL[None]]


URL = "postgresql://db/router"
PLACES = [
    (URL, "", "-csearch_path=tenant_red"),
    (f"{URL}?sslmode=require&", "sslmode=require&", "-csearch_path=tenant_red"),
    ("postgresql:///db?host=/run&password=a+b%26", "host=/run&password=a+b%26&",
     "-csearch_path=tenant_red"),
    (f"{URL}?options=-csearch_path%3Dprod", "", "-csearch_path=prod -csearch_path=prod_red"),
    (f"{URL}?options=-csearch_path%3Da,public", "", "-csearch_path=a,public -csearch_path=a_red"),
    (f"{URL}?options=-csearch_path%3Da%20-csearch_path%3Db", "",
     "-csearch_path=a -csearch_path=b -csearch_path=b_red"),
    (f"{URL}?options=-ca%3Db", "", "-ca=b -csearch_path=tenant_red"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "rest", "options"), PLACES)
def test_a_tenant_has_a_schema_beside_that_of_the_deployment(url: str, rest: str, options: str):
    """Of several search paths PostgreSQL takes the last."""
    found = str(place_of("red", url))
    base, _, query = found.partition("?")
    assert base == url.partition("?")[0]
    assert query.startswith(f"{rest}options=")
    assert unquote(query.removeprefix(f"{rest}options=")) == options
    assert place_of(None, url) == url
