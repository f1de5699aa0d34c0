"""Pins, profiles with strategies, shadows and the kill switch over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from bandit_router.service.keys import ENGINE
from bandit_router.store import EventStore, verify

from .conftest import config, state

LARGE = "vendor/large v2"


async def route(client: Any, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    response = await client.post("/route", json={"prompt": "hello", **fields}, headers=headers)
    return response.status, await response.json()


@pytest.mark.parametrize("name", [LARGE, "vendor%2Flarge%20v2", "small"])
async def test_a_header_pins_a_model(client: Any, name: str) -> None:
    status, answer = await route(client, {"x-bandit-router-model": name})
    assert status == 200
    assert answer["model"] == ("small" if name == "small" else LARGE)
    assert answer["propensity"] == 1.0
    assert [c["model"] for c in answer["candidates"]] == [answer["model"]]


async def test_a_header_excludes_models(client: Any) -> None:
    status, answer = await route(client, {"x-bandit-router-exclude": f"small, {LARGE}"})
    assert (status, answer["error"]["type"]) == (422, "no_eligible_arm")
    _, answer = await route(client, {"x-bandit-router-exclude": "small"})
    assert answer["model"] == LARGE
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["request"]["exclude"] == ["small"]


@pytest.mark.parametrize(
    ("headers", "fields", "field"),
    [
        ({"x-bandit-router-model": "smal"}, {}, "models"),
        ({"x-bandit-router-exclude": "smal"}, {}, "exclude"),
        ({"x-bandit-router-model": f"small,{LARGE}"}, {}, "x-bandit-router-model"),
        ({"x-bandit-router-model": ""}, {}, "x-bandit-router-model"),
        ({"x-bandit-router-model": "small"}, {"models": [LARGE]}, "x-bandit-router-model"),
        (
            {"x-bandit-router-model": "small", "x-bandit-router-exclude": "small"},
            {},
            "x-bandit-router-exclude",
        ),
    ],
)
async def test_headers_that_cannot_be_followed_change_nothing(
    client: Any, headers: dict[str, str], fields: dict[str, Any], field: str
) -> None:
    before = state(client)
    status, answer = await route(client, headers, **fields)
    assert (status, answer["error"]["field"]) == (422, field)
    assert state(client) == before


async def test_shadows_are_seen_and_are_the_same_after_a_restart(start: Any, db: Any) -> None:
    bandit = {"shadows": ["linucb", "fixed:small"], "canary": "lints", "canary_share": 0.5}
    client = await start(config(bandit=bandit, store={"snapshot_every": 20}))
    for step in range(30):
        _, answer = await route(client, prompt=f"word {step} of {step % 3}")
        said = {"decision_id": answer["decision_id"], "reward": step % 2}
        assert (await client.post("/feedback", json=said)).status == 200
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    roles = {s["strategy"]: s["role"] for s in why["shadows"]}
    assert roles == {
        "thompson": "live",
        "lints": "canary",
        "linucb": "shadow",
        "fixed:small": "shadow",
    }
    chances = {
        s["strategy"]: {c["model"]: c["propensity"] for c in s["candidates"]}
        for s in why["shadows"]
    }
    assert chances["fixed:small"] == {"small": 1.0, LARGE: 0.0}
    for candidate in why["candidates"]:
        halves = [chances[name][candidate["model"]] for name in ("thompson", "lints")]
        assert candidate["propensity"] == pytest.approx(sum(halves) / 2)
    before = client.app[ENGINE].router.snapshot()
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        report = verify(store)
        assert report.agrees
        assert report.snapshots >= 3
    again = await start(config(bandit=bandit, store={"snapshot_every": 20}))
    assert again.app[ENGINE].router.snapshot() == before


async def test_the_kill_switch_survives_a_restart_and_needs_no_encoder(start: Any) -> None:
    client = await start()
    assert (await (await client.get("/kill-switch")).json())["on"] is False
    body = {"model": "smal", "reason": "bad answers"}
    assert (await client.put("/kill-switch", json=body)).status == 422
    answer = await (await client.put("/kill-switch", json=body | {"model": "small"})).json()
    assert answer["on"] is True
    assert (answer["model"], answer["reason"]) == ("small", "bad answers")
    await client.close()

    again = await start()
    assert (await (await again.get("/kill-switch")).json()) == answer

    async def broken(text: str) -> Any:
        raise AssertionError("nothing may be embedded")

    again.app[ENGINE]._embed = broken
    for _ in range(3):
        status, chosen = await route(again)
        assert (status, chosen["model"], chosen["propensity"]) == (200, "small", 1.0)
    why = await (await again.get(f"/decisions/{chosen['decision_id']}")).json()
    assert (why["role"], why["policy"]) == ("kill-switch", "fixed:small")
    answer = await (await again.delete("/kill-switch")).json()
    assert answer["on"] is False
    changes = again.app[ENGINE].store.events(kind="change")
    switched = [change.body for change in changes if change.what == "kill_switch"]
    assert [body["model"] for body in switched] == ["small", None]


@pytest.mark.parametrize(
    "strategy", ["fixed:small", "failover", "length", "features", "forest", "kmeans", "thompson",
                 "global-thompson", "linucb", "lints", "random"],
)  # fmt: skip
async def test_every_strategy_serves_untaught_as_strategy_and_by_profile(
    start: Any, strategy: str, db: Any
) -> None:
    client = await start(config(profiles=[{"name": "p", "strategy": strategy}]))
    status, answer = await route(client, profile="p")
    assert status == 200
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["policy"] == strategy
    assert sum(c["propensity"] for c in why["candidates"]) == pytest.approx(1.0)
    await client.close()
    again = await start(config(bandit={"strategy": strategy}))
    said = {"decision_id": answer["decision_id"], "reward": 1.0}
    assert (await again.post("/feedback", json=said)).status == 200
    status, answer = await route(again)
    assert status == 200
