"""What people do today, as policies: each does what it says, and goes on from its state."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bandit_router import Model, Router
from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator import simulate
from bandit_router.types import Training

FLEET = (
    Model(name="dear", input_usd_per_m=10.0, output_usd_per_m=30.0),
    Model(name="cheap", input_usd_per_m=0.1, output_usd_per_m=0.4),
    Model(name="middle", input_usd_per_m=1.0, output_usd_per_m=3.0),
)
PLAYED = ("failover", "length", "features")  # the fitted ones need embeddings, see below


def router(strategy: str, **bandit: object) -> Router:
    settings = parse_config({"bandit": {"strategy": strategy, **bandit}}).settings
    return Router(FLEET, settings=settings, embedder="none")


def trained(strategy: str) -> Router:
    """A router fitted on two kinds of prompts: `dear` is good at one, `cheap` at the other."""
    out = router(strategy)
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=400)
    vectors = np.where(kind[:, None] == 1, 1.0, -1.0) * np.ones(
        (400, 4)
    ) + 0.3 * rng.standard_normal((400, 4))
    chance = np.stack([np.where(kind == 1, 0.9, 0.2), np.where(kind == 1, 0.2, 0.9)], axis=1)
    quality = (rng.random((400, 2)) < chance).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    body = Training.of(("dear", "cheap"), vectors.astype(np.float32), quality, np.ones((400, 2)))
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    out.apply(out.change("trained", fields))
    return out


@pytest.mark.parametrize("strategy", ["forest", "kmeans"])
def test_fitted_policies_find_who_is_good_at_what_and_go_on_from_their_state(strategy: str) -> None:
    one = trained(strategy)
    assert one.decide(vector=np.ones(4)).model == "dear"
    assert one.decide(vector=-np.ones(4)).model == "cheap"
    decision = one.decide(vector=np.ones(4))
    again = Router.restore([decision], state=one.snapshot())
    one.apply(decision)
    assert again.snapshot() == one.snapshot()
    assert again.decide(vector=-np.ones(4)).model == "cheap"


@pytest.mark.parametrize("strategy", ["forest", "kmeans"])
def test_before_they_are_fitted_they_choose_uniformly(strategy: str) -> None:
    decision = router(strategy).decide(vector=np.ones(4))
    assert [c.propensity for c in decision.candidates] == pytest.approx([1 / 3] * 3)


def test_longer_prompts_go_to_dearer_models() -> None:
    one = router("length")
    chosen = [one.decide("x" * n, vector=np.ones(4)).model for n in (20, 900, 20_000)]
    assert chosen == ["cheap", "middle", "dear"]


def test_failover_keeps_to_the_main_model_while_it_is_there() -> None:
    one = router("failover")
    assert one.decide("hello", vector=np.ones(4)).model == "dear"
    one.apply(one.change("model_set", {"name": "dear", "available": False}))
    assert one.decide("hello", vector=np.ones(4)).model == "middle"


def test_rules_decide_by_what_a_prompt_is() -> None:
    rules = [
        {"code": True, "models": ["middle"]},
        {"maths": True, "tier": "dearest"},
        {"tier": "cheapest"},
    ]
    one = router("features", rules=rules)
    assert (
        one.decide("def f(x):\n    return x\n\nfix this function", vector=np.ones(4)).model
        == "middle"
    )
    assert one.decide("Solve $\\int x^2 dx$ and prove it", vector=np.ones(4)).model == "dear"
    assert one.decide("Hello there", vector=np.ones(4)).model == "cheap"


@pytest.mark.parametrize("policy", PLAYED)
def test_each_can_be_played(policy: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [json.dumps({"id": str(i), "prompt": f"word {i}", "task": "t"}) for i in range(80)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    rows = [f"{i},{m},{float(rng.random() < 0.5)}" for i in range(80) for m in ("a", "b")]
    (tmp_path / "outcomes.csv").write_text("\n".join(["id,model,quality", *rows]))
    options = {"progress": False, "processes": 1, "seeds": 1}
    found = simulate([tmp_path], [policy], train=20, **options)
    (table,) = found["tables"]
    assert table["steps"] == 60
    assert sum(
        np.mean(s) for s in table["policies"][policy]["arm_share"].values()
    ) == pytest.approx(1)


@pytest.mark.minilm
def test_fitted_policies_need_a_prefix(tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(i), "prompt": f"word {i}"}) for i in range(40)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    rows = [f"{i},{m},{(i + (m == 'a')) % 2}" for i in range(40) for m in ("a", "b")]
    (tmp_path / "outcomes.csv").write_text("\n".join(["id,model,quality", *rows]))
    options = {"progress": False, "processes": 1, "seeds": 1}
    with pytest.raises(InvalidInput, match="--train"):
        simulate([tmp_path], ["kmeans"], **options)
    found = simulate([tmp_path], ["kmeans", "forest"], train=20, **options)
    assert found["tables"][0]["steps"] == 20
