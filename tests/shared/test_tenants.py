"""Tenants of one database, each with a schema, know nothing of each other.

Whether each has processes of its own and a configuration, or all are served by one process.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bandit_router.config import parse_config
from bandit_router.service import create_app
from bandit_router.service.app import SERVER
from bandit_router.service.keys import ENGINE
from bandit_router.store import open_keys, open_log, place_of, verify
from bandit_router.types import Decision

from .test_replicas import post, until

Client = TestClient[Any, Any]
Tenant = tuple[Client, str, str]
"""A tenant's replica, its API key, and where its log is."""
TENANTS = {"red": ("small", "large"), "blue": ("large", "vision")}
POINT = {"red": [1.0, 0.0, 0.0], "blue": [0.0, 1.0]}  # even their maps have other dimensions


@pytest.fixture
async def tenants(aiohttp_client: Any, url: str, tmp_path: Path) -> dict[str, Tenant]:
    """Two replicas, candidates for the learner both, with a key each; blue's has no budget left."""
    import psycopg  # `url` skips where it is not installed

    made: dict[str, Tenant] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        for name in TENANTS:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
    for name, models in TENANTS.items():
        own = f"{url}?options=-csearch_path%3D{name}"
        with open_keys(own) as keys:
            _, secret = keys.add("the tenant's", usd_total=1e-6 if name == "blue" else None)
        config = {
            "embedder": {"name": "none"},
            "models": [{"name": m, "input_usd_per_m": 1.0} for m in models],
            "budget": {"usd_per_request": {"red": 0.01, "blue": 0.5}[name]},
        }
        app = create_app(parse_config(config), db=own, outbox=tmp_path / f"{name}.db")
        server = TestServer(app)
        await server.start_server(**SERVER)
        client = await aiohttp_client(server)
        await client.app[ENGINE].wait()
        made[name] = client, secret, own
    return made


async def decide(tenant: Tenant, name: str, **more: Any) -> tuple[int, Any]:
    client, secret, _ = tenant
    body = {"embedding": POINT[name], **more}
    return await post(client, "/route", body, Authorization=f"Bearer {secret}")


async def test_map_arms_budgets_and_keys_are_each_tenants_own(tenants: Any) -> None:
    red, blue = tenants["red"], tenants["blue"]
    ids = []
    for _ in range(8):
        status, answer = await decide(red, "red")
        assert status == 200, answer
        assert answer["model"] in TENANTS["red"]
        ids.append(answer["decision_id"])
    status, answer = await decide(blue, "blue")
    assert status == 200, answer
    assert answer["model"] in TENANTS["blue"]

    # Arms: one that only the other has is none. Keys: the other's is none.
    assert (await decide(red, "red", models=["vision"]))[0] == 422
    assert (await decide((blue[0], red[1], ""), "blue"))[0] == 401
    # Decisions: what the other decided cannot be judged here, by whatever key, nor looked at.
    for secret, wanted in ((blue[1], 404), (red[1], 401)):
        said = {"decision_id": ids[0], "reward": 1.0}
        head = {"Authorization": f"Bearer {secret}"}
        assert (await post(blue[0], "/feedback", said, **head))[0] == wanted
        async with blue[0].get(f"/decisions/{ids[0]}", headers=head) as answered:
            assert answered.status == wanted

    # Budgets: what blue's key has spent is none of red's.
    bill = {"decision_id": answer["decision_id"], "reward": 1.0, "cost_usd": 0.01}
    assert (await post(blue[0], "/feedback", bill, Authorization=f"Bearer {blue[1]}"))[0] == 200

    async def spent() -> bool:
        return (await decide(blue, "blue"))[0] == 403

    await until(spent)
    assert (await decide(red, "red"))[0] == 200
    limits = [t[0].app[ENGINE].router.settings.budget.usd_per_request for t in (red, blue)]
    assert limits == [0.01, 0.5]

    # Logs and maps: each holds its own, and folds to what its own learner made of it.
    for name, (_, _, own) in tenants.items():
        with closing(open_log(own, readonly=True)) as log:

            def there(log: Any = log, name: str = name) -> bool:
                return log.counts().get("decision", 0) >= (9 if name == "red" else 1)

            await until(there)
            decisions = [e for e in log.events() if isinstance(e, Decision)]
            assert {len(e.embedding()) for e in decisions} == {len(POINT[name])}
            assert {c.model for e in decisions for c in e.candidates} == set(TENANTS[name])
            assert (name == "red") == any(e.decision_id in ids for e in decisions)
            assert verify(log).agrees


async def cannot_judge(client: Client, secret: str, id_: str) -> bool:
    """Tell whether a decision is unknown; 503: it cannot be looked up, not connected again yet."""
    said = {"decision_id": id_, "reward": 1.0}
    status, _ = await post(client, "/feedback", said, Authorization=f"Bearer {secret}")
    assert status in (404, 503)
    return bool(status == 404)


async def test_one_process_serves_them_all(aiohttp_client: Any, url: str, tmp_path: Path) -> None:
    """With `[tenants.NAME]` the schemas are made, and each is led and served for itself."""
    raw = {name: {"models": [{"name": m} for m in models]} for name, models in TENANTS.items()}
    config = parse_config({"embedder": {"name": "none"}, "tenants": {**raw, "green-1": {}}})
    secrets = {}
    for name in (*TENANTS, None):
        with open_keys(place_of(name, url)) as keys:
            secrets[name] = keys.add("the tenant's")[1]
    outbox = tmp_path / "outbox.db"
    ids: dict[str, list[str]] = {name: [] for name in TENANTS}

    async def serve() -> Client:
        server = TestServer(create_app(config, db=url, outbox=outbox))
        await server.start_server(**SERVER)
        client: Client = await aiohttp_client(server)

        async def ready() -> bool:
            async with client.get("/readyz") as answer:
                return answer.status == 200

        await until(ready)
        return client

    for count in (3, 6):  # the second time after a restart
        client = await serve()
        assert (await decide((client, secrets[None], ""), "red"))[0] == 422  # it has no models
        for name, models in TENANTS.items():
            for _ in range(3):
                status, answer = await decide((client, secrets[name], ""), name)
                assert status == 200, answer
                assert answer["model"] in models
                ids[name].append(answer["decision_id"])
            theirs = ids["blue" if name == "red" else "red"]

            if theirs:
                await until(partial(cannot_judge, client, secrets[name], theirs[0]))
        await client.close()
        for name in TENANTS:
            with closing(open_log(place_of(name, url), readonly=True)) as log:

                def there(log: Any = log, count: int = count) -> bool:
                    return log.counts().get("decision", 0) >= count

                await until(there)
                decisions = [e.decision_id for e in log.events() if isinstance(e, Decision)]
                assert sorted(decisions) == sorted(ids[name])
                assert verify(log).agrees
    assert {f.name for f in tmp_path.glob("outbox*.db")} == {
        "outbox.db", "outbox.red.db", "outbox.blue.db", "outbox.green-1.db",
    }  # fmt: skip


def test_nobody_is_woken_by_another_tenant(url: str) -> None:
    import psycopg

    from bandit_router.store.postgres.connection import (
        INBOX_CHANNEL,
        PUBLISHED_CHANNEL,
        connect,
        listening,
        make_schema,
    )

    with ExitStack() as stack:
        connections: dict[str, psycopg.Connection[Any]] = {}
        prod = f"{url}?options=-csearch_path%3Dprod,public"
        for name, at, schema in (("red", prod, "prod_red"), ("green-1", url, "tenant_green-1")):
            own = connections[name] = stack.enter_context(connect(str(place_of(name, at))))
            make_schema(own)
            make_schema(own)  # again: it is there
            assert own.execute("SELECT current_schema()").fetchone() == (schema,)
            for channel in (INBOX_CHANNEL, PUBLISHED_CHANNEL):
                own.execute(listening(channel))
        for channel in (INBOX_CHANNEL, PUBLISHED_CHANNEL):
            connections["red"].execute(f"SELECT pg_notify({channel}, '')")
        heard = {n: len(list(c.notifies(timeout=0.5))) for n, c in connections.items()}
        assert heard == {"red": 2, "green-1": 0}
