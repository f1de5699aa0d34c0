"""Pins, profiles with strategies, shadows and the kill switch over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router import Feedback, Router
from bandit_router.config import Config, parse_config
from bandit_router.policies import LinUCBPolicy
from bandit_router.service.keys import ENGINE
from bandit_router.simulator.logs import read_log
from bandit_router.simulator.warm import warm_start
from bandit_router.store import EventStore, verify
from bandit_router.types import Request

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
        ({"x-bandit-router-model": "smal"}, {}, "x-bandit-router-model"),
        ({"x-bandit-router-exclude": "smal"}, {}, "x-bandit-router-exclude"),
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


async def test_a_shadow_that_fails_is_counted_and_fails_no_request(
    start: Any, db: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*args: object) -> None:
        raise ArithmeticError("no number is left")

    monkeypatch.setattr(LinUCBPolicy, "choose", broken)
    monkeypatch.setattr(LinUCBPolicy, "learn", broken)
    client = await start(config(bandit={"shadows": ["linucb", "random"]}))
    status, answer = await route(client)
    said = {"decision_id": answer["decision_id"], "reward": 1}
    assert (status, (await client.post("/feedback", json=said)).status) == (200, 200)
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    failed, spoke = sorted(why["shadows"], key=lambda s: s["strategy"])
    assert (failed["model"], failed["error"]) == (None, "ArithmeticError: no number is left")
    assert (spoke["strategy"], spoke["error"]) == ("random", None)
    counted = await (await client.get("/metrics")).text()
    assert 'bandit_router_strategy_failures_total{strategy="linucb"} 2.0' in counted
    assert caplog.text.count("'linucb' failed beside the live one: ") == 2
    await client.close()
    (row,) = read_log(db)
    assert set(row.shadows) == {"thompson", "random"}


async def test_a_shadow_whose_state_is_not_enough_folds_the_whole_log_and_is_verified(
    start: Any, db: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LinUCBPolicy, "restorable", False)
    settings = config(bandit={"shadows": ["linucb"]}, store={"snapshot_every": 10})
    client = await start(settings)
    for step in range(12):
        _, answer = await route(client, prompt=f"word {step}")
        said = {"decision_id": answer["decision_id"], "reward": step % 2}
        await client.post("/feedback", json=said)
    before = client.app[ENGINE].router.snapshot()
    await client.close()
    with EventStore.open(db, readonly=True) as store:
        assert store.latest_snapshot() is None
        assert verify(store).agrees
        assert len(store.snapshots()) >= 3
    again = await start(settings)
    assert again.app[ENGINE].router.snapshot() == before
    assert "from the first on, and will be at every start: what linucb has learnt" in caplog.text


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


class Upstream:
    """An endpoint that says who it is, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.down:
            return web.json_response({"error": {"message": "down"}}, status=500)
        message = {"role": "assistant", "content": (await request.json())["model"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice]})


@pytest.fixture
async def upstreams() -> AsyncIterator[dict[str, Upstream]]:
    out, servers = {name: Upstream() for name in ("main", "spare")}, []
    for upstream in out.values():
        app = web.Application()
        app.router.add_post("/v1/chat/completions", upstream.handle)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        upstream.url = str(servers[-1].make_url("/v1"))  # type: ignore[attr-defined]
    yield out
    for server in servers:
        await server.close()


def served(upstreams: dict[str, Upstream], **tables: Any) -> Config:
    prices = {"main": 10.0, "spare": 1.0}
    models = [
        {"name": n, "input_usd_per_m": prices[n], "endpoints": [{"base_url": u.url}]}  # type: ignore[attr-defined]
        for n, u in upstreams.items()
    ]
    return parse_config({"models": models, **tables})


async def chat(client: Any, asked: str = "auto", **headers: str) -> tuple[int, str, Any]:
    body = {"model": asked, "messages": [{"role": "user", "content": "hello"}]}
    named = {f"x-bandit-router-{key}": value for key, value in headers.items()}
    response = await client.post("/v1/chat/completions", json=body, headers=named)
    answered = response.headers.get("x-bandit-router-model", "")
    return response.status, answered, await response.json()


async def test_the_gateway_follows_pins_and_profiles(start: Any, upstreams: Any) -> None:
    profiles = [{"name": "cheap", "strategy": "fixed:spare"}]
    settings = served(upstreams, bandit={"strategy": "fixed:main"}, profiles=profiles)
    client = await start(settings)
    assert (await chat(client))[:2] == (200, "main")
    assert (await chat(client, "cheap"))[:2] == (200, "spare")
    assert (await chat(client, exclude="main"))[:2] == (200, "spare")
    before = upstreams["spare"].calls
    upstreams["main"].down = True
    status, _, answer = await chat(client, model="main")
    assert status == 502  # pinned: no other model may answer
    assert upstreams["spare"].calls == before
    assert "error" in answer
    for contradiction in ({"exclude": "spare"}, {"model": "main"}):
        status, _, answer = await chat(client, "spare", **contradiction)
        assert (status, answer["error"]["type"]) == (422, "invalid_input")


async def test_the_kill_switch_at_the_gateway_has_no_stand_in(start: Any, upstreams: Any) -> None:
    profiles = [{"name": "cheap", "models": ["spare"]}]
    client = await start(served(upstreams, profiles=profiles))
    await client.put("/kill-switch", json={"model": "main"})
    for asked in ("auto", "cheap"):
        assert (await chat(client, asked))[:2] == (200, "main")
    assert (await chat(client, model="spare"))[:2] == (200, "spare")  # as asked
    upstreams["main"].down, before = True, upstreams["spare"].calls
    for _ in range(5):  # the circuit opens meanwhile
        assert (await chat(client))[0] == 502
    assert upstreams["spare"].calls == before
    status, _, answer = await chat(client, exclude="main")
    assert (status, answer["error"]["type"]) == (422, "no_eligible_arm")
    response = await client.delete("/models/main")
    assert response.status == 422
    assert "kill switch" in (await response.json())["error"]["message"]


async def test_failover_leaves_a_model_whose_providers_are_down(start: Any, upstreams: Any) -> None:
    client = await start(served(upstreams, bandit={"strategy": "failover"}))
    assert (await chat(client))[1] == "main"
    upstreams["main"].down = True
    for _ in range(4):
        assert (await chat(client))[:2] == (200, "spare")
    _, answer = await route(client)
    assert answer["model"] == "spare"  # known by now: the decision itself goes elsewhere
    assert answer["propensity"] == 1.0


@pytest.mark.parametrize("strategy", ["forest", "kmeans"])
@pytest.mark.parametrize("full", [True, False])
async def test_fitted_strategies_serve_after_a_warm_start(
    start: Any, tmp_path: Any, strategy: str, full: bool
) -> None:
    """`small` is good on one side, the other on the other; `full`: both were tried everywhere."""
    log, rng = tmp_path / "log.db", np.random.default_rng(0)
    names = ("small", LARGE)
    with EventStore.open(log) as store:
        past = Router(names, settings=parse_config({}).settings, embedder="none")
        events: list[Any] = [past.initial]
        for step in range(300):
            side = step % 2 * 2.0 - 1.0
            vector = np.concatenate([[side, side], 0.3 * rng.standard_normal(2)])
            for name in names if full else names[step // 2 % 2 :][:1]:
                decision = past.decide(vector=vector, request=Request(models=(name,)))
                past.apply(decision)
                good = float((side < 0) == (name == "small"))
                _, said = past.judge(Feedback(decision_id=decision.decision_id, reward=good))
                past.apply(said)
                events += [decision, said]
        store.append(events)
    settings = config(bandit={"strategy": strategy}, embedder={"name": "none"})
    warm_start(log, tmp_path / "warm.db", settings, progress=False)
    client = await start(settings, db=tmp_path / "warm.db", embedder=None)
    for side, best in ((-1.0, "small"), (1.0, LARGE)):
        response = await client.post("/route", json={"embedding": [side, side, 0.1, 0.1]})
        answer = await response.json()
        assert answer["model"] == best
        assert answer["propensity"] == 1.0


async def test_who_needs_no_embedding_serves_while_the_encoder_is_down(
    start: Any, embedder: Any, monkeypatch: pytest.MonkeyPatch, db: Any
) -> None:
    """Each in its turn: shadows and a canary are passed over and say so, a dry run goes on."""
    plain = {"bandit": {"strategy": "random", "shadows": ["thompson", "fixed:small"]}}
    profiles = [{"name": "learnt", "strategy": "thompson"}]
    client = await start(config(**plain, profiles=profiles))
    status, _ = await route(client)
    assert status == 200

    asked = []

    def down(texts: Any) -> Any:
        asked.extend(texts)
        raise OSError("the encoder is down")

    monkeypatch.setattr(embedder, "encode", down)
    status, answer = await route(client, prompt="another")
    assert status == 200
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    said = {shadow["strategy"]: shadow["error"] for shadow in why["shadows"]}
    assert said == {"thompson": "the prompt could not be embedded", "fixed:small": None}
    rated = {"decision_id": answer["decision_id"], "reward": 1.0}
    assert (await client.post("/feedback", json=rated)).status == 200
    assert (await route(client, prompt="and another"))[0] == 200
    assert asked == ["another"]  # it is let alone for a while
    status, answer = await route(client, prompt="another", profile="learnt")
    assert (status, answer["error"]["type"]) == (503, "unavailable")
    await client.close()
    with EventStore.open(db, readonly=True) as log:
        assert verify(log).agrees
    dry = {"strategy": "thompson", "dry_run": "small", "canary": "linucb", "canary_share": 0.5}
    client = await start(config(bandit=dry))
    status, answer = await route(client, prompt="more")
    assert (status, answer["model"]) == (200, "small")
