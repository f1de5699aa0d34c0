"""Bad input gets its status and its field, and changes nothing."""

from __future__ import annotations

import gzip
import json

import pytest

from .conftest import config, state

ROUTE = [
    ("no prompt", {}, "prompt"),
    ("an empty prompt", {"prompt": ""}, "prompt"),
    ("a blank prompt", {"prompt": " \n\t"}, "prompt"),
    ("a prompt of a megabyte", {"prompt": "word " * 200_000}, "prompt"),
    ("a number for a prompt", {"prompt": 3}, "prompt"),
    ("a list for a prompt", {"prompt": ["a"]}, "prompt"),
    ("prompt and messages", {"prompt": "a", "messages": []}, "messages"),
    ("prompt and embedding", {"prompt": "a", "embedding": [1.0]}, "embedding"),
    ("no messages", {"messages": []}, "messages"),
    ("messages without text", {"messages": [{"role": "user", "content": None}]}, "messages"),
    ("only an answer", {"messages": [{"role": "assistant", "content": "a"}]}, "messages"),
    ("a message without a role", {"messages": [{"content": "a"}]}, "messages.role"),
    ("text for messages", {"messages": "a"}, "messages"),
    ("long messages", {"messages": [{"role": "user", "content": "w" * 200_001}]}, "messages"),
    ("an empty embedding", {"embedding": []}, "embedding"),
    ("text in an embedding", {"embedding": [0.1, "a"]}, "embedding"),
    ("a nested embedding", {"embedding": [[0.1]]}, "embedding"),
    ("a huge embedding", {"embedding": [1e300, 1.0]}, "embedding"),
    ("an embedding of zeros", {"embedding": [0.0] * 48}, "embedding"),
    ("an embedding of another length", {"embedding": [1.0, 0.0]}, "embedding"),
    ("an unknown model", {"prompt": "a", "models": ["smal"]}, "models"),
    ("no models", {"prompt": "a", "models": []}, "models"),
    ("a number among models", {"prompt": "a", "models": ["small", 3]}, "models"),
    ("text for models", {"prompt": "a", "models": "small"}, "models"),
    ("a negative cost weight", {"prompt": "a", "cost_weight": -0.1}, "cost_weight"),
    ("text for a cost weight", {"prompt": "a", "cost_weight": "1"}, "cost_weight"),
    ("a boolean cost weight", {"prompt": "a", "cost_weight": True}, "cost_weight"),
    ("a negative cost limit", {"prompt": "a", "max_cost_usd": -1}, "max_cost_usd"),
    ("a cost limit too low", {"prompt": "a", "max_cost_usd": 0}, "max_cost_usd"),
    ("a negative latency limit", {"prompt": "a", "max_latency_ms": -1}, "max_latency_ms"),
    ("an unknown need", {"prompt": "a", "needs": ["telepathy"]}, "needs"),
    ("needs that none has", {"prompt": "a", "needs": ["vision"], "models": ["small"]}, "needs"),
    ("an unknown profile", {"prompt": "a", "profile": "cheap"}, "profile"),
    ("a number for a session", {"prompt": "a", "session_id": 1}, "session_id"),
    ("an empty user", {"prompt": "a", "user": ""}, "user"),
    ("a list for metadata", {"prompt": "a", "metadata": []}, "metadata"),
    ("a huge integer", {"prompt": "a", "metadata": {"n": 10**30}}, "metadata"),
    ("much metadata", {"prompt": "a", "metadata": {"n": "x" * 20_000}}, "metadata"),
    ("deep metadata", {"prompt": "a", "metadata": {"n": [[[[[[[[[1]]]]]]]]]}}, "metadata"),
    ("an unknown field", {"prompt": "a", "temperature": 1}, "temperature"),
]

RAW = [
    ("NaN", b'{"prompt": "a", "cost_weight": NaN}', 422, "cost_weight"),
    ("Infinity", b'{"prompt": "a", "max_cost_usd": Infinity}', 422, "max_cost_usd"),
    ("minus Infinity", b'{"prompt": "a", "max_latency_ms": -Infinity}', 422, "max_latency_ms"),
    ("a number beyond floats", b'{"prompt": "a", "cost_weight": 1e999}', 422, "cost_weight"),
    ("NaN in an embedding", b'{"embedding": [0.5, NaN]}', 422, "embedding"),
    ("NaN in metadata", b'{"prompt": "a", "metadata": {"x": NaN}}', 422, "metadata.x"),
    ("half a surrogate", b'{"prompt": "a \\ud800 b"}', 422, "prompt"),
    ("the other half", b'{"prompt": "\\udc00"}', 422, "prompt"),
    ("a list", b"[]", 422, None),
    ("null", b"null", 422, None),
    ("nothing", b"", 400, None),
    ("half an object", b'{"prompt": "a"', 400, None),
    ("no JSON", b"prompt=a", 400, None),
    ("other bytes", b'{"prompt": "\xff\xfe"}', 400, None),
    ("UTF-16", '{"prompt": "a"}'.encode("utf-16"), 400, None),
    ("a raw null byte", b'{"prompt": "\x00"}', 400, None),
    ("many brackets", b'{"metadata": {"a": ' + b"[" * 100_000, 400, None),
]

FEEDBACK = [
    ("a reward of 1.5", {"reward": 1.5}, "reward"),
    ("a negative reward", {"reward": -0.1}, "reward"),
    ("text for a reward", {"reward": "good"}, "reward"),
    ("a boolean reward", {"reward": True}, "reward"),
    ("nothing said", {}, "reward"),
    ("reward and rating", {"reward": 1, "rating": "up"}, "rating"),
    ("an unknown rating", {"rating": "great"}, "rating"),
    ("a negative cost", {"cost_usd": -1}, "cost_usd"),
    ("a negative latency", {"latency_ms": -1}, "latency_ms"),
    ("a negative count", {"prompt_tokens": -1}, "prompt_tokens"),
    ("half a token", {"completion_tokens": 0.5}, "completion_tokens"),
    ("a count of 2^70", {"completion_tokens": 2**70}, "completion_tokens"),
    ("an empty source", {"reward": 1, "source": ""}, "source"),
    ("a blank source", {"reward": 1, "source": " "}, "source"),
    ("a long source", {"reward": 1, "source": "x" * 65}, "source"),
    ("no weight", {"reward": 1, "weight": 0}, "weight"),
    ("a weight of 101", {"reward": 1, "weight": 101}, "weight"),
    ("an unknown field", {"reward": 1, "score": 2}, "score"),
    ("a number for the decision", {"reward": 1, "decision_id": 7}, "decision_id"),
]

MODELS = [
    ("no name", {}, "name"),
    ("an empty name", {"name": ""}, "name"),
    ("a blank name", {"name": "  "}, "name"),
    ("a comma", {"name": "a,b"}, "name"),
    ("a reserved name", {"name": "auto"}, "name"),
    ("a negative price", {"name": "x", "input_usd_per_m": -1}, "input_usd_per_m"),
    ("text for a price", {"name": "x", "output_usd_per_m": "1"}, "output_usd_per_m"),
    ("a prior of 2", {"name": "x", "quality_prior": 2}, "quality_prior"),
    ("no context", {"name": "x", "context_tokens": 0}, "context_tokens"),
    ("an unknown ability", {"name": "x", "supports": ["flight"]}, "supports"),
    ("an endpoint without address", {"name": "x", "endpoints": [{}]}, "endpoints.base_url"),
    ("an unknown field", {"name": "x", "price": 1}, "price"),
]


def cases(table):
    return pytest.mark.parametrize(
        ("body", "field"), [case[1:] for case in table], ids=[case[0] for case in table]
    )


async def refused(response, status, field):
    body = await response.json()
    assert response.status == status, body
    assert response.content_type == "application/json"
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) <= {"type", "message", "field"}
    assert error["type"]
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert error.get("field") == field, error
    return error


@pytest.fixture
async def decided(client):
    answer = await (await client.post("/route", json={"prompt": "a first prompt"})).json()
    return answer["decision_id"]


@cases(ROUTE)
async def test_route_refuses(client, decided, body, field):
    before = state(client)
    await refused(await client.post("/route", json=body), 422, field)
    assert state(client) == before


@pytest.mark.parametrize(("data", "status", "field"), [c[1:] for c in RAW], ids=[c[0] for c in RAW])
async def test_route_refuses_bytes(client, decided, data, status, field):
    before = state(client)
    headers = {"Content-Type": "application/json"}
    await refused(await client.post("/route", data=data, headers=headers), status, field)
    assert state(client) == before


@cases(FEEDBACK)
async def test_feedback_refuses(client, decided, body, field):
    before = state(client)
    body = {"decision_id": decided, **body}
    await refused(await client.post("/feedback", json=body), 422, field)
    assert state(client) == before


async def test_a_word_that_is_not_known_is_told_those_that_are(client, decided):
    answer = await client.post("/feedback", json={"decision_id": decided, "rating": "good"})
    said = await refused(answer, 422, "rating")
    assert "must be 'up' or 'down'" in said["message"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["reward", "cost_usd", "latency_ms", "weight"])
async def test_feedback_refuses_what_is_not_finite(client, decided, name, value):
    before = state(client)
    data = f'{{"decision_id": "{decided}", "{name}": {value}}}'
    headers = {"Content-Type": "application/json"}
    await refused(await client.post("/feedback", data=data, headers=headers), 422, name)
    assert state(client) == before


async def test_an_unknown_decision_is_not_found(client, decided):
    before = state(client)
    body = {"decision_id": "nobody", "reward": 1}
    await refused(await client.post("/feedback", json=body), 404, "decision_id")
    await refused(await client.get("/decisions/nobody"), 404, "decision_id")
    await refused(await client.get("/decisions/%ff%00"), 404, "decision_id")
    assert state(client) == before


@cases(MODELS)
async def test_models_refuse(client, body, field):
    before = state(client)
    await refused(await client.post("/models", json=body), 422, field)
    assert state(client) == before


async def test_models_conflict_or_are_not_found(client):
    before = state(client)
    await refused(await client.post("/models", json={"name": "small"}), 409, "name")
    await refused(await client.patch("/models/none", json={"available": False}), 404, "name")
    await refused(await client.delete("/models/none"), 404, "name")
    await refused(await client.patch("/models/small", json={"name": "tall"}), 422, "name")
    await refused(await client.patch("/models/small", json={"available": None}), 422, "available")
    assert state(client) == before


async def test_a_batch_judges_each_item_for_itself(client, decided):
    items = [
        {"decision_id": decided, "reward": 1.0},
        {"decision_id": decided, "reward": 1.5},
        {"decision_id": "nobody", "reward": 1.0},
        {"reward": 1.0},
        7,
        {"decision_id": decided, "reward": 1.0},
        {"decision_id": decided, "rating": "down"},
    ]
    response = await client.post("/feedback/batch", json={"feedback": items})
    assert response.status == 200
    results = (await response.json())["results"]
    assert [r.get("status") or r["error"].get("field") for r in results] == [
        "recorded",
        "reward",
        "decision_id",
        "decision_id",
        None,
        "duplicate",
        "updated",
    ]
    assert [r["decision_id"] for r in results] == [
        decided,
        decided,
        "nobody",
        None,
        None,
        decided,
        decided,
    ]
    assert state(client)[0] == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [({"feedback": [{}] * 1001}, "feedback"), ({"feedback": {}}, "feedback"), ({}, "feedback")],
    ids=["too many", "no list", "nothing"],
)
async def test_a_batch_is_refused_whole(client, body, field):
    before = state(client)
    await refused(await client.post("/feedback/batch", json=body), 422, field)
    assert state(client) == before


async def test_nothing_there(client):
    await refused(await client.get("/nowhere"), 404, None)
    await refused(await client.get("/%ff%fe"), 404, None)
    await refused(await client.get("/clusters/999"), 404, None)
    await refused(await client.get("/clusters/abc"), 404, None)
    await refused(await client.get("/clusters/" + "9" * 5000), 404, None)


async def test_another_method(client):
    response = await client.get("/route")
    assert response.headers["Allow"] == "POST"
    await refused(response, 405, None)


async def test_another_content_type(client):
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        headers = {"Content-Type": type_}
        response = await client.post("/route", data=b'{"prompt": "a"}', headers=headers)
        await refused(response, 415, None)


async def test_a_body_beyond_the_limit(start):
    client = await start(config(server={"max_body_bytes": 1000}))
    before = state(client)
    await refused(await client.post("/route", json={"prompt": "a" * 1000}), 413, None)
    whole = json.dumps({"prompt": ""})
    body = json.dumps({"prompt": "a" * (1000 - len(whole))})
    headers = {"Content-Type": "application/json"}
    assert state(client) == before
    assert (await client.post("/route", data=body, headers=headers)).status == 200


async def test_a_prompt_beyond_the_limit(start):
    client = await start(config(server={"max_prompt_chars": 10}))
    before = state(client)
    await refused(await client.post("/route", json={"prompt": "a" * 11}), 422, "prompt")
    assert state(client) == before
    assert (await client.post("/route", json={"prompt": "é" * 10})).status == 200


@pytest.mark.parametrize(
    "data",
    [b'{"prompt": "a"}', gzip.compress(b'{"prompt": "' + b"a" * 50_000_000 + b'"}')],
    ids=["in name only", "a bomb"],
)
async def test_a_compressed_body(client, data):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    before = state(client)
    await refused(await client.post("/route", data=data, headers=headers), 415, None)
    assert state(client) == before
    assert (await client.post("/route", json={"prompt": "a"})).status == 200


async def test_what_a_client_may_expect(client):
    for expected, status in (("100-continue", 200), ("the moon", 417)):
        asked = {"json": {"prompt": "words"}, "headers": {"Expect": expected}}
        response = await client.post("/route", **asked)
        if status == 200:
            assert response.status == 200
        else:
            await refused(response, status, None)


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=1.5", "after=" + "9" * 30])
async def test_lineage_refuses_a_page_that_is_none(client, query):
    await refused(await client.get(f"/lineage?{query}"), 422, query.split("=")[0])
