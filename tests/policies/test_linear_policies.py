"""LinUCB and linear Thompson sampling learn, restart, and log what chance each arm had."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from bandit_router import Model, Router
from bandit_router.config import BanditSettings, Settings
from bandit_router.types import Request

ARMS = ("left", "right")


def settings(strategy: str, **bandit: object) -> Settings:
    return Settings(bandit=BanditSettings(strategy=strategy, **bandit))  # type: ignore[arg-type]


def taught(strategy: str, steps: int = 300, **bandit: object) -> Router:
    """A router that has seen that each arm is good on its own side."""
    router = Router(ARMS, settings=settings(strategy, **bandit), embedder="none")
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.normal(size=4)
        decision = router.route(vector=x)
        good = decision.model == ("left" if x[0] < 0 else "right")
        cost = 0.01 if decision.model == "left" else 0.02
        router.feedback(decision.decision_id, float(good), cost_usd=cost)
    return router


@pytest.mark.parametrize("strategy", ["linucb", "lints"])
def test_it_learns_who_is_good_where(strategy: str) -> None:
    router = taught(strategy)
    rng = np.random.default_rng(1)
    right = 0
    for _ in range(100):
        x = rng.normal(size=4)
        right += router.decide(vector=x).model == ("left" if x[0] < 0 else "right")
    assert right >= 85


@pytest.mark.parametrize("strategy", ["linucb", "lints"])
def test_a_cost_weight_needs_no_relearning(strategy: str) -> None:
    router = taught(strategy)
    x = np.array([1.0, 0.0, 0.0, 0.0])
    dear = Request(cost_weight=50.0)
    assert {router.decide(vector=x, request=dear).model for _ in range(5)} == {"left"}
    assert router.decide(vector=x).chosen.cost_usd == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("strategy", ["linucb", "lints"])
def test_the_state_is_enough_to_go_on_from(strategy: str) -> None:
    router = taught(strategy, steps=50)
    again = Router.restore([], state=router.snapshot())
    assert again.snapshot() == router.snapshot()
    x = [0.3, 0.2, -0.4, 0.1]
    for r in (router, again):
        decision = r.route(vector=x, decision_id="new")
        r.apply(r.change("model_set", {"name": "third"}))
        assert decision.model in ARMS
    assert again.snapshot() == router.snapshot()
    assert {c.model for c in again.decide(vector=x).candidates} == {*ARMS, "third"}


def test_linucb_shares_ties_and_lints_says_its_exact_chances() -> None:
    untaught = Router([Model(name=n) for n in "abc"], settings=settings("linucb"), embedder="none")
    chances = [c.propensity for c in untaught.decide(vector=[1.0, 0.0]).candidates]
    assert chances == pytest.approx([1 / 3] * 3)

    router = taught("lints", steps=30)
    x = [0.1, 1.0, 0.0, 0.2]
    decision = router.decide(vector=x)
    assert decision.exact
    wins = 0
    for seed in range(2_000):
        bandit = msgspec.structs.replace(router.settings.bandit, seed=seed)
        router.settings = msgspec.structs.replace(router.settings, bandit=bandit)
        wins += router.decide(vector=x).model == "left"
    said = decision.candidate("left")
    assert said is not None
    assert wins / 2_000 == pytest.approx(said.propensity, abs=0.05)


def test_the_floor_holds() -> None:
    router = taught("linucb", steps=200, floor=0.1)
    decision = router.decide(vector=[1.0, 0.0, 0.0, 0.0])
    assert sorted(c.propensity for c in decision.candidates) == pytest.approx([0.1, 0.9])
    assert sum(c.propensity for c in decision.candidates) == pytest.approx(1.0)
