"""`POST /route` and `GET /decisions/{id}` as the contract says."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from bandit_router.service.keys import ENGINE

from .conftest import config, state


async def route(client, **body):
    response = await client.post("/route", json=body)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_an_answer_has_the_fields_of_the_contract(client):
    answer = await route(client, prompt="What is the capital of France?")
    assert set(answer) == {
        "decision_id",
        "model",
        "cluster",
        "propensity",
        "expected",
        "candidates",
    }
    assert set(answer["expected"]) == {"quality", "cost_usd", "latency_ms"}
    assert [c["model"] for c in answer["candidates"]] == ["small", "vendor/large v2"]
    for candidate in answer["candidates"]:
        assert set(candidate) == {
            "model",
            "propensity",
            "expected",
            "quality_interval",
            "draw",
            "evidence",
            "support",
            "insufficient_evidence",
        }
        low, high = candidate["quality_interval"]
        assert 0 <= low <= candidate["expected"]["quality"] <= high <= 1
    assert sum(c["propensity"] for c in answer["candidates"]) == pytest.approx(1.0, abs=1e-6)


async def test_a_decision_is_on_disk_when_it_is_answered(client):
    answer = await route(client, prompt="hello", metadata={"team": "a"}, user="u", session_id="s")
    response = await client.get(f"/decisions/{answer['decision_id']}")
    assert response.status == 200
    why = await response.json()
    for field in ("decision_id", "model", "cluster", "propensity", "expected", "candidates"):
        assert why[field] == answer[field]
    assert why["request"]["metadata"] == {"team": "a"}
    assert why["request"]["user"] == "u"
    assert why["prompt_chars"] == 5
    assert why["prompt"] is None  # store.keep_prompts is off
    assert why["feedback"] == []
    assert why["outcome"] is None
    assert state(client)[0] == 2  # configured, decision


async def test_the_path_ends_in_the_cluster(client):
    for _ in range(30):
        await route(client, prompt="the same words again and again")
    answer = await route(client, prompt="the same words again and again")
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["cluster"] == answer["cluster"]
    assert not why["cluster"] or why["cluster"] in why["path"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "hello there"}],
        [{"role": "user", "content": [{"type": "text", "text": "hello there"}]}],
        [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
            {"role": "tool", "content": "ignored", "tool_call_id": "x"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "there"},
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                ],
            },
        ],
        [{"role": "system", "content": "only this"}],
    ],
)
async def test_messages_in_openai_form_are_routed(client, messages):
    assert (await route(client, messages=messages))["model"]


async def test_of_a_conversation_the_users_words_are_embedded(client, embedder):
    answer = await route(
        client,
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "first"},
            {"role": "user", "content": "second"},
        ],
    )
    history = client.app[ENGINE].router.history(answer["decision_id"])
    expected = embedder.encode(["second\nfirst"])[0]
    assert np.allclose(history.decision.embedding(), expected, atol=1e-6)
    assert history.decision.prompt_chars == len("be brief\nfirst\nsecond")


async def test_a_vector_of_the_callers_own_is_routed_without_an_encoder(start):
    client = await start(config(embedder={"name": "none"}), embedder=None)
    assert (await route(client, embedding=[0.6, 0.8, 0.0]))["model"]
    response = await client.post("/route", json={"prompt": "text"})
    assert response.status == 422
    assert (await response.json())["error"]["field"] == "embedding"


async def test_constraints_restrict_the_candidates(client):
    only = await route(client, prompt="x y z", models=["small"])
    assert [c["model"] for c in only["candidates"]] == ["small"]
    assert only["propensity"] == pytest.approx(1.0)
    able = await route(client, prompt="x y z", needs=["tools"])
    assert able["model"] == "vendor/large v2"


async def test_a_profile_sets_the_trade_off(start):
    profiles = [{"name": "cheap", "models": ["small"], "cost_weight": 3.0}]
    client = await start(config(profiles=profiles))
    answer = await route(client, prompt="x", profile="cheap")
    assert answer["model"] == "small"
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["utility"]["cost_weight"] == 3.0
    assert why["request"]["profile"] == "cheap"


async def test_the_request_sets_the_trade_off(client):
    answer = await route(client, prompt="x", cost_weight=0.7)
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["utility"]["cost_weight"] == 0.7


@pytest.mark.parametrize(
    "text", ["a\u0000b", "\u0000", "🙂" * 50, "\uff41\u200b\u202e", "'; DROP TABLE"]
)
async def test_odd_but_honest_text_is_routed(client, text):
    answer = await route(client, prompt=text, user=text[:9], metadata={text: text})
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["request"]["metadata"] == {text: text}


async def test_many_at_once_are_numbered_one_after_another(client):
    answers = await asyncio.gather(*(route(client, prompt=f"prompt {i}") for i in range(40)))
    assert len({a["decision_id"] for a in answers}) == 40
    assert state(client)[0] == 41


async def test_the_index_and_the_description_answer(client):
    assert (await (await client.get("/")).json())["openapi"] == "/openapi.json"
    assert json.loads(await (await client.get("/openapi.json")).read())["openapi"] == "3.1.0"
