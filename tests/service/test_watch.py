"""What the pages show of the past is what the log says; and it is told as it happens."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from bandit_router.service.chronicle import Chronicle
from bandit_router.service.keys import ENGINE, WATCH
from bandit_router.service.overview import explored, overview, saved, story

TOPICS = ("sort a python list", "boil an egg softly", "prove a geometry theorem")


async def traffic(client, n, *, good="vendor/large v2", feedback=True):
    """Route prompts; the dear model is better and costs ten times as much."""
    decisions = []
    for i in range(n):
        asked = {"prompt": f"{TOPICS[i % 3]} number {i % 7}"}
        found = await (await client.post("/route", json=asked)).json()
        decisions.append(found)
        if feedback:
            dear = found["model"] == good
            said = {
                "decision_id": found["decision_id"],
                "reward": 0.9 if dear else 0.6,
                "cost_usd": 0.01 if dear else 0.001,
            }
            assert (await client.post("/feedback", json=said)).status == 200
    return decisions


async def get(client, path):
    answer = await client.get(path)
    assert answer.status == 200
    return await answer.json()


async def test_the_overview_adds_up(client):
    decisions = await traffic(client, 40)
    found = await get(client, "/map/data/overview")
    large = sum(d["model"] == "vendor/large v2" for d in decisions)
    assert found["totals"]["decision"] == found["totals"]["feedback"] == 40
    assert sum(bucket["decisions"] for bucket in found["buckets"]) == 40
    assert found["spend"]["usd"] == pytest.approx(0.01 * large + 0.001 * (40 - large))
    assert found["shares"].get("vendor/large v2", 0) == pytest.approx(large / 40)
    [source] = found["sources"]
    assert source["feedback"] == 40
    assert source["quality"] == pytest.approx((0.9 * large + 0.6 * (40 - large)) / 40)
    assert 0 <= found["explored"] <= 1
    assert found["budget"] == {"usd_per_request": None, "usd_per_day": None}


async def test_an_empty_service_has_pages_too(client):
    found = await get(client, "/map/data/overview")
    assert found["saved"] is None
    assert found["buckets"] == []
    assert (await get(client, "/map/data/places"))["positions"] == {}
    assert (await get(client, "/map/data/growth"))["decisions"] == []


async def test_savings_hold_what_the_best_constant_would_really_have_cost(client):
    """Every outcome is known here, so the truth lies in the interval of the estimate."""
    await traffic(client, 150)
    chronicle = Chronicle()
    chronicle.catch_up(client.app[ENGINE].store)
    found = saved(chronicle, list(chronicle.histories.values()))
    assert found is not None
    price = {"small": 0.001, "vendor/large v2": 0.01}
    truth = found["decisions"] * price[found["constant"]] - found["spent_usd"]
    low, high = found["usd_ci"]
    slack = 1e-6
    assert low - slack <= truth <= high + slack
    assert low <= found["usd"] <= high
    assert found["curve"][-1] == pytest.approx([found["usd"], low, high], rel=1e-3)


async def test_without_costs_nothing_is_said_to_be_saved(client):
    for decision in await traffic(client, 12, feedback=False):
        said = {"decision_id": decision["decision_id"], "reward": 1.0}
        await client.post("/feedback", json=said)
    assert (await get(client, "/map/data/overview"))["saved"] is None


async def test_every_cluster_is_drawn_and_has_a_past(client):
    decisions = await traffic(client, 30)
    clusters = (await get(client, "/clusters"))["clusters"]
    finest = {c["id"] for c in clusters if c["level"] == max(c["level"] for c in clusters)}
    places = await get(client, "/map/data/places")
    assert finest <= {int(id_) for id_ in places["positions"]}
    assert "t-SNE" in places["method"]
    id_ = decisions[-1]["cluster"]
    past = await get(client, f"/map/data/clusters/{id_}")
    told = [d for d in decisions if d["cluster"] == id_]
    assert len(past["times"]) == len(told)
    assert sum(map(len, past["curves"].values())) == len(told)
    assert past["newest"][0]["decision_id"] == told[-1]["decision_id"]
    assert any(e["what"] == "born" for e in past["lineage"])


@pytest.mark.parametrize("id_", ["x", "-1", "1" * 40, "²"])
async def test_a_cluster_that_is_no_number_is_not_found(client, id_):
    assert (await client.get(f"/map/data/clusters/{id_}")).status == 404


async def test_growth_holds_every_decision_in_order(client):
    decisions = await traffic(client, 20)
    log = await get(client, "/map/data/growth")
    assert [row[2] for row in log["decisions"]] == [d["cluster"] for d in decisions]
    assert [log["models"][row[3]] for row in log["decisions"]] == [d["model"] for d in decisions]
    assert {row[4] for row in log["decisions"]} <= {0.6, 0.9}


async def test_asking_where_a_prompt_would_go_changes_nothing(client):
    await traffic(client, 10)
    before = client.app[ENGINE].router.snapshot(), client.app[ENGINE].store.last_seq()
    answer = await client.post("/map/data/where", json={"prompt": "sort a python list"})
    found = await answer.json()
    assert answer.status == 200
    assert sum(c["propensity"] for c in found["candidates"]) == pytest.approx(1)
    assert found["model"] in {"small", "vendor/large v2"}
    after = client.app[ENGINE].router.snapshot(), client.app[ENGINE].store.last_seq()
    assert before == after


@pytest.mark.parametrize("body", [{}, {"prompt": " "}, {"prompt": "x", "cost_weight": -1}])
async def test_a_prompt_that_cannot_be_asked_about(client, body):
    answer = await client.post("/map/data/where", json=body)
    assert answer.status == 422
    assert (await answer.json())["error"]["field"] in {"prompt", "cost_weight"}


async def stream(answer, until):
    """Read events of a stream until one is as wanted."""
    found = []
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            found.append([text[7:], None])
        elif text.startswith("data: "):
            found[-1][1] = json.loads(text[6:])
            if until(*found[-1]):
                return found
    raise AssertionError("the stream ended")


async def test_events_tell_what_happens(client):
    answer = await client.get("/events")
    assert answer.content_type == "text/event-stream"
    [hello] = await stream(answer, lambda name, data: name == "hello")
    assert hello[1]["totals"].get("decision", 0) == 0
    [decision] = await traffic(client, 1)
    async with asyncio.timeout(10):
        told = await stream(answer, lambda name, data: name == "tick")
    tick = told[-1][1]
    assert tick["new"] == 1
    assert tick["decisions"][0]["id"] == decision["decision_id"]
    assert tick["decisions"][0]["cluster"] == decision["cluster"]
    assert tick["totals"]["decision"] == 1
    assert {e["what"] for e in tick["lineage"]} == {"born"}
    answer.close()


async def test_a_service_that_stops_ends_its_streams(start):
    client = await start()
    answer = await client.get("/events")
    await stream(answer, lambda name, data: name == "hello")
    await client.app[WATCH].close()
    async with asyncio.timeout(5):
        await answer.content.read()
    assert answer.content.at_eof()


async def test_the_drawing_is_the_same_after_a_restart(start):
    client = await start()
    await traffic(client, 15)
    before = (await get(client, "/map/data/places"))["positions"]
    await client.close()
    again = await start()
    after = (await get(again, "/map/data/places"))["positions"]
    assert before.keys() == after.keys()
    apart = [np.hypot(*np.subtract(before[id_], after[id_])) for id_ in before]
    size = np.ptp(list(before.values()), axis=0).max()
    assert max(apart) < 0.2 * size


async def test_a_chronicle_of_part_of_the_log_still_counts_all_of_it(client):
    await traffic(client, 12)
    store = client.app[ENGINE].store
    short = Chronicle(window=5)
    short.catch_up(store)
    assert len(short.histories) == 5
    assert short.totals["decision"] == 12
    assert overview(short)["window"]["decisions"] == 5
    assert story(short, 10**9) == {"times": [], "curves": {}, "newest": []}


async def test_exploring_is_choosing_another_arm_than_the_best(client):
    await traffic(client, 3)
    chronicle = Chronicle()
    news = chronicle.catch_up(client.app[ENGINE].store)
    for decision in news.decisions:
        best = max(decision.candidates, key=lambda c: c.utility)
        assert explored(decision) == (best.model != decision.model)
