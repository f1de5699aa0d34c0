"""The demo fleet: real outcomes, answered in process."""

from __future__ import annotations

import re
from importlib import resources

import numpy as np
import pytest

from bandit_router.config import Config, parse_config
from bandit_router.embedding import SentenceTransformerEmbedder
from bandit_router.service.demo import DemoFleet, demo_config
from bandit_router.service.keys import ENGINE


@pytest.fixture(scope="module")
def fleet():
    return DemoFleet()


class Recorded:
    """Knows the vectors of the bundled prompts, and no others: no weights are loaded."""

    name = "minilm"
    fingerprint = "recorded"

    def __init__(self, fleet):
        self._known = dict(zip(fleet.prompts, fleet.vectors, strict=True))

    def encode(self, texts):
        unknown = np.eye(1, 384, dtype=np.float32)[0]
        return np.array([self._known.get(text, unknown) for text in texts], dtype=np.float32)


def test_the_sample_is_whole(fleet):
    names = [model.name for model in demo_config().models]
    assert len(names) == 4
    assert len(fleet.prompts) == len(set(fleet.prompts)) == len(fleet.vectors) == 243
    assert np.allclose(np.linalg.norm(fleet.vectors, axis=1), 1.0, atol=1e-3)
    for i in range(len(fleet.prompts)):
        for name in names:
            quality, cost = fleet.outcomes[i, name]
            assert 0 <= quality <= 1
            assert cost > 0


def test_the_demo_keeps_the_other_settings():
    base = parse_config({"server": {"port": 9}, "bandit": {"seed": 3}, "models": [{"name": "x"}]})
    made = demo_config(base)
    assert made.settings.server.port == 9
    assert (made.settings.bandit.seed, made.settings.bandit.cost_weight) == (3, 0.2)
    assert "x" not in {model.name for model in made.models}
    own = parse_config({"bandit": {"cost_weight": 1.0}})
    assert demo_config(own).settings.bandit.cost_weight == 1.0


def test_a_vector_of_another_kind_has_no_answer(fleet):
    assert fleet.answer(np.ones(3, dtype=np.float32), "google/gemini-2.5-pro") is None
    assert fleet.answer(fleet.vectors[0], "another") is None


async def test_a_route_is_answered_and_learnt_from(start, fleet):
    client = await start(Config(), demo=True, embedder=Recorded(fleet))
    response = await client.post("/route", json={"prompt": fleet.prompts[5]})
    answer = await response.json()
    assert response.status == 200, answer
    quality, cost = fleet.outcomes[5, answer["model"]]
    assert answer["demo"]["nearest"] == fleet.prompts[5]
    assert answer["demo"]["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert (answer["demo"]["quality"], answer["demo"]["cost_usd"]) == (quality, cost)
    why = await (await client.get(f"/decisions/{answer['decision_id']}")).json()
    assert why["outcome"]["cost_usd"] == cost
    assert [(f["source"], f["reward"]) for f in why["feedback"]] == [("demo", quality)]
    assert client.app[ENGINE].store.last_seq() == 4  # configured, decision, outcome, feedback
    said = {"decision_id": answer["decision_id"], "rating": "up"}
    assert await (await client.post("/feedback", json=said)).json() == {"status": "recorded"}


async def test_a_prompt_like_none_of_the_sample_is_only_routed(start, fleet):
    client = await start(Config(), demo=True, embedder=Recorded(fleet))
    answer = await (await client.post("/route", json={"prompt": "unlike any"})).json()
    assert answer["model"]
    assert "demo" not in answer
    assert client.app[ENGINE].store.last_seq() == 2


def test_the_folder_says_where_it_comes_from():
    table = resources.files("bandit_router.service.demo") / "table"
    assert "Apache License" in (table / "LICENSE").read_text()
    source = (table / "SOURCE.md").read_text()
    assert re.search(r"github\.com/\S+", source)
    assert re.search(r"[0-9a-f]{40}", source)


@pytest.mark.minilm
async def test_with_the_real_weights(start, fleet):
    client = await start(Config(), demo=True, embedder=None)
    for prompt in (
        "Write a Python function that checks whether a number is prime.",
        "Write a Python function to remove duplicates from a list",
    ):
        answer = await (await client.post("/route", json={"prompt": prompt})).json()
        assert answer["demo"]["similarity"] >= 0.6
    assert (await client.get("/readyz")).status == 200


@pytest.mark.minilm
def test_the_bundled_vectors_are_those_of_the_prompts(fleet):
    some = slice(0, None, 30)
    made = SentenceTransformerEmbedder().encode(fleet.prompts[some])
    assert np.abs(made - fleet.vectors[some]).max() < 1e-3
