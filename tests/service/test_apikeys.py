"""API keys over HTTP: made once, in force at once, and the same keys as on the command line."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from bandit_router.cli import main
from bandit_router.service.apikeys import CONFIRM
from bandit_router.store import KeyStore

from .test_access import call, route, vote


async def made(client, key=None, **fields):
    return await call(client, "POST", "/keys", key, fields)


async def first(client, **fields):
    status, answer, _ = await made(client, name="ops", scopes=["admin"], confirm=CONFIRM, **fields)
    assert status == 201
    return answer


async def test_keys_are_made_used_and_revoked(start, db):
    client = await start()
    assert (await call(client, "GET", "/keys"))[1] == {"keys": []}
    ops = (await first(client))["key"]
    assert (await call(client, "GET", "/keys"))[0] == 401  # in force at once
    status, app, _ = await made(client, ops, name="app", usd_per_day=5.0, requests_per_minute=60)
    assert (status, app["scopes"], app["usd_per_day"]) == (201, ["route", "feedback"], 5.0)
    decided = (await route(client, app["key"]))[1]
    await vote(client, decided["decision_id"], app["key"], cost_usd=0.25)

    listed = (await call(client, "GET", "/keys", ops))[1]["keys"]
    assert [key["name"] for key in listed] == ["ops", "app"]
    assert listed[1]["spent_usd"] == listed[1]["spent_today_usd"] > 0
    assert not {"key", "hash"} & set(listed[1])
    assert (await call(client, "GET", "/keys", app["key"]))[0] == 403  # admin only

    shown = CliRunner().invoke(main, ["keys", "list", "--db", str(db), "--json"])
    assert [key["id"] for key in json.loads(shown.stdout)["keys"]] == [k["id"] for k in listed]
    assert (await made(client, ops, name="app"))[0] == 409
    gone = (await call(client, "DELETE", f"/keys/{app['id']}", ops))[1]
    assert gone["revoked"] is not None
    assert (await route(client, app["key"]))[0] == 401  # in force at once
    assert (await call(client, "DELETE", f"/keys/{app['id']}", ops))[0] == 404
    assert (await made(client, ops, name="app"))[0] == 201  # the name is free again
    with KeyStore(db) as keys:
        assert [key.name for key in keys.all()] == ["ops", "app", "app"]


async def test_of_first_keys_that_come_at_once_one_is_made(start, db):
    client = await start()
    fields = {"scopes": ["admin"], "confirm": CONFIRM}
    asked = [made(client, name=f"k{i % 4}", **fields) for i in range(8)]
    statuses = sorted(status for status, _, _ in await asyncio.gather(*asked))
    assert statuses == [201] + [401] * 7
    with KeyStore(db) as keys:
        assert len(keys.all()) == 1


async def test_keys_that_are_made_at_once_wait_for_one_another(db):
    def add(name: str) -> None:
        with KeyStore(db) as keys:
            for i in range(5):
                keys.add(f"{name}{i}")

    KeyStore(db).close()
    await asyncio.gather(*(asyncio.to_thread(add, name) for name in "abcd"))
    with KeyStore(db) as keys:
        assert len(keys.all()) == 20


async def test_nobody_is_locked_out_by_accident(start, db):
    client = await start()
    for fields, field in (
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": ["admin"]}, "confirm"),
        ({"name": "x", "scopes": ["admin"], "confirm": "yes"}, "confirm"),
    ):
        status, answer, _ = await made(client, **fields)
        assert (status, answer["error"]["field"]) == (422, field)
    assert (await route(client))[0] == 200
    ops = await first(client)
    status, answer, _ = await call(client, "DELETE", f"/keys/{ops['id']}", ops["key"])
    assert (status, answer["error"]["field"]) == (409, "id")
    assert (await call(client, "GET", "/keys", ops["key"]))[0] == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\u0000"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes"),
        ({"name": "x", "usd_per_day": 0}, "usd_per_day"),
        ({"name": "x", "else": 1}, "else"),
    ],
)
async def test_what_makes_no_key(client, db, fields, field):
    status, answer, _ = await made(client, **{"scopes": ["admin"], "confirm": CONFIRM, **fields})
    assert (status, answer["error"]["field"]) == (422, field)
    with KeyStore(db) as keys:
        assert keys.all() == []
