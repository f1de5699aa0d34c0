"""Nonsense, a thousand times over: every answer is JSON, and none blames the server."""

from __future__ import annotations

import json
import random
from urllib.parse import quote

from .conftest import state

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    0.5,
    1e308,
    -0.0,
    2**63,
    10**25,
    "",
    " ",
    "a",
    "\u0000",
    "\ud800",
    "🙂",
    "small",
    "x" * 5000,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None],
    ["small"],
    [1.0] * 48,
    {"role": "user", "content": "a"},
    [{"role": "user", "content": [{"type": "text"}]}],
]
FIELDS = {
    "/route": "prompt messages embedding models cost_weight max_cost_usd max_latency_ms needs "
    "profile session_id user metadata else",
    "/feedback": "decision_id reward rating cost_usd latency_ms prompt_tokens completion_tokens "
    "source weight else",
    "/feedback/batch": "feedback else",
    "/models": "name input_usd_per_m output_usd_per_m quality_prior context_tokens supports "
    "available endpoints",
}
PATHS = ["%00", "%ff", "..", "%2e%2e%2f", "a" * 2000, "\u202e", "%ud800", "-1", "1e9", "'", "%25"]


def body(random_, path, decision_id):
    fields = FIELDS[path].split()
    names = random_.sample(fields, k=random_.randint(0, min(3, len(fields))))
    out = {name: random_.choice(VALUES) for name in names}
    if path == "/route" and random_.random() < 0.5:
        out["prompt"] = "something to route"
    if path == "/feedback" and random_.random() < 0.8:
        out["decision_id"] = decision_id
    if path == "/feedback/batch" and random_.random() < 0.8:
        out["feedback"] = [body(random_, "/feedback", decision_id) for _ in range(3)]
    return out


def damaged(random_, data):
    if random_.random() < 0.2:
        cut = random_.randrange(len(data) + 1)
        data = data[:cut] + bytes([random_.randrange(256)]) + data[cut + 1 :]
    return data


async def test_nonsense_is_answered_and_what_was_kept_can_be_folded_again(start):
    client = await start()
    random_ = random.Random(0)
    answer = await (await client.post("/route", json={"prompt": "a"})).json()
    headers = {"Content-Type": "application/json"}
    statuses = set()
    for _ in range(1500):
        path = random_.choice(list(FIELDS))
        before = state(client)
        data = json.dumps(body(random_, path, answer["decision_id"])).encode()
        response = await client.post(path, data=damaged(random_, data), headers=headers)
        statuses.add(response.status)
        assert response.status < 500, (path, data, await response.text())
        assert isinstance(await response.json(), dict)
        if response.status >= 400:
            assert state(client) == before, (path, data)
    assert {200, 400, 422} <= statuses
    before = state(client)
    await client.close()
    assert state(await start()) == before


async def test_odd_paths_are_answered(client):
    for folder in ("/decisions", "/clusters", "/models", ""):
        for odd in PATHS:
            for method in ("GET", "DELETE", "PATCH", "OPTIONS"):
                path = f"{folder}/{odd if odd.isascii() else quote(odd)}"
                response = await client.request(method, path, json={})
                assert response.status < 500
                assert isinstance(await response.json(), dict)
