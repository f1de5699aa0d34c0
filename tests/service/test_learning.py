"""Feedback, arms at run time, and the map as data."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from bandit_router.service.keys import ENGINE

from .conftest import config, state

LARGE = "vendor/large v2"


async def post(client, path, status=200, **body):
    response = await client.post(path, json=body)
    assert response.status == status, await response.text()
    return await response.json()


async def get(client, path, status=200):
    response = await client.get(path)
    assert response.status == status, await response.text()
    return await response.json()


async def decide(client, prompt="how do I sort a list", **body):
    return (await post(client, "/route", prompt=prompt, **body))["decision_id"]


async def test_feedback_is_recorded_updated_or_a_duplicate(client):
    id_ = await decide(client)
    say = {"decision_id": id_, "reward": 0.8}
    assert (await post(client, "/feedback", **say))["status"] == "recorded"
    after = state(client)
    assert (await post(client, "/feedback", **say))["status"] == "duplicate"
    assert state(client) == after
    assert (await post(client, "/feedback", **{**say, "reward": 0.2}))["status"] == "updated"
    other = await post(client, "/feedback", decision_id=id_, rating="up", source="judge")
    assert other["status"] == "recorded"
    said = (await get(client, f"/decisions/{id_}"))["feedback"]
    assert [(f["source"], f["reward"]) for f in said] == [("user", 0.2), ("judge", 1.0)]


@pytest.mark.parametrize(
    "said",
    [
        {"cost_usd": 0.01},
        {"latency_ms": 800},
        {"prompt_tokens": 10, "completion_tokens": 20},
        {"rating": "down", "weight": 0.5},
    ],
    ids=lambda said: next(iter(said)),
)
async def test_every_kind_of_feedback_counts(client, said):
    id_ = await decide(client)
    before = state(client)
    assert (await post(client, "/feedback", decision_id=id_, **said))["status"] == "recorded"
    assert state(client)[0] == before[0] + 1
    [entry] = (await get(client, f"/decisions/{id_}"))["feedback"]
    assert entry["reward"] == (0.0 if "rating" in said else None)


async def test_tokens_cost_what_the_models_prices_say(client):
    id_ = await decide(client, models=[LARGE])
    said = {"decision_id": id_, "prompt_tokens": 1_000_000, "completion_tokens": 500_000}
    await post(client, "/feedback", **said)
    [entry] = (await get(client, f"/decisions/{id_}"))["feedback"]
    assert entry["cost_usd"] == pytest.approx(2.0 + 4.0)


async def test_it_learns_which_model_is_good(client):
    for _ in range(120):
        answer = await post(client, "/route", prompt="explain the proof of the theorem")
        reward = 1.0 if answer["model"] == LARGE else 0.0
        await post(client, "/feedback", decision_id=answer["decision_id"], reward=reward)
    answer = await post(client, "/route", prompt="explain the proof of the theorem")
    expected = {c["model"]: c["expected"]["quality"] for c in answer["candidates"]}
    assert expected[LARGE] > 0.8 > expected["small"]
    arms = {m["name"]: m for m in (await get(client, "/models"))["models"]}
    assert arms[LARGE]["expected"]["quality"] > arms["small"]["expected"]["quality"]
    assert arms[LARGE]["evidence"] > 0
    clusters = (await get(client, "/clusters"))["clusters"]
    assert clusters
    assert {"id", "level", "parent", "weight", "evidence", "best", "arms"} <= set(clusters[0])
    assert max(c["evidence"] for c in clusters) > 0
    one = await get(client, f"/clusters/{clusters[-1]['id']}")
    assert one == clusters[-1]
    lineage = await get(client, "/lineage")
    assert {e["what"] for e in lineage["lineage"]} >= {"born"}
    assert {c["id"] for c in clusters} <= {e["cluster"] for e in lineage["lineage"]}


async def test_lineage_comes_in_pages(client):
    for i in range(30):
        await decide(client, f"topic{i} about{i} thing{i} stuff{i}")
        await decide(client, f"topic{i} about{i} thing{i} stuff{i}")
    whole = (await get(client, "/lineage"))["lineage"]
    assert len(whole) > 5
    pages, after = [], 0
    while after is not None:
        page = await get(client, f"/lineage?after={after}&limit=4")
        pages += page["lineage"]
        after = page["next"]
    assert pages == whole


async def test_arms_come_change_and_go(client):
    made = await post(client, "/models", 201, name="new [x]=1", output_usd_per_m=1.0)
    assert made["output_usd_per_m"] == 1.0
    assert made["available"] is True
    answer = await post(client, "/route", prompt="a", models=["new [x]=1"])
    assert answer["model"] == "new [x]=1"
    path = f"/models/{quote(LARGE, safe='')}"
    response = await client.patch(path, json={"available": False, "quality_prior": 0.9})
    patched = await response.json()
    assert response.status == 200
    assert (patched["available"], patched["input_usd_per_m"]) == (False, 2.0)
    answer = await post(client, "/route", prompt="a")
    assert LARGE not in {c["model"] for c in answer["candidates"]}
    response = await client.delete("/models/new [x]=1")
    assert await response.json() == {"name": "new [x]=1", "status": "removed"}
    names = {m["name"] for m in (await get(client, "/models"))["models"]}
    assert names == {"small", LARGE}
    await post(client, "/models", 201, name="new [x]=1")  # it may come back
    await post(client, "/models", 201, name="heir", similar_to="new [x]=1")
    await client.delete("/models/new [x]=1")  # which leaves its heir as it is
    response = await client.patch("/models/heir", json={"available": False})
    assert (await response.json())["similar_to"] == "new [x]=1"


async def test_late_feedback_for_a_removed_arm_still_counts(client):
    answer = await post(client, "/route", prompt="a", models=["small"])
    await client.delete("/models/small")
    said = {"decision_id": answer["decision_id"], "reward": 1.0}
    assert (await post(client, "/feedback", **said))["status"] == "recorded"


async def test_without_any_model_requests_are_refused_until_one_is_added(start):
    client = await start(config(models=[]))
    response = await client.post("/route", json={"prompt": "a"})
    assert response.status == 422
    assert (await response.json())["error"]["field"] == "models"
    await post(client, "/models", 201, name="first")
    assert (await post(client, "/route", prompt="a"))["model"] == "first"


@pytest.mark.parametrize("strategy", ["global-thompson", "random", "fixed:small"])
async def test_every_strategy_serves(start, strategy):
    client = await start(config(bandit={"strategy": strategy}))
    answer = await post(client, "/route", prompt="a")
    await post(client, "/feedback", decision_id=answer["decision_id"], reward=1.0)
    assert (await get(client, f"/decisions/{answer['decision_id']}"))["policy"] == strategy
    assert (await get(client, "/clusters"))["clusters"] == []
    assert len((await get(client, "/models"))["models"]) == 2
    assert client.app[ENGINE].router.seq == 3
