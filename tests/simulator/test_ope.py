"""Our estimators are the field's: the same numbers as coba's and Vowpal Wabbit's own code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from coba.environments.filters import OpeRewards
from estimators.bandits import gaussian
from estimators.bandits import ips as vw_ips
from estimators.bandits import snips as vw_snips
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.exceptions import InvalidInput
from bandit_router.simulator.ope import (
    Clip,
    Evaluation,
    dm,
    doubly_robust,
    dr,
    ips,
    mean_interval,
    ratio_interval,
    snips,
)
from bandit_router.simulator.overlap import overlap
from bandit_router.simulator.verdict import best_mix, worth_it

ARMS = ("a", "b", "c")


def logged(n: int, seed: int) -> tuple[list[dict], Evaluation]:
    """A log as coba holds it, and as we do, without a model yet."""
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.ones(3), size=n) * 0.9 + 0.1 / 3
    target = rng.dirichlet(np.ones(3), size=n)
    action = np.array([rng.choice(3, p=p) for p in chance])
    reward = rng.random(n)
    propensity = chance[np.arange(n), action]
    theirs = [
        {
            "context": tuple(rng.random(2).tolist()),
            "actions": list(ARMS),
            "action": ARMS[action[i]],
            "reward": float(reward[i]),
            "probability": float(propensity[i]),
        }
        for i in range(n)
    ]
    return theirs, Evaluation(target, np.zeros((n, 3)), action, reward, propensity)


def matrix(kind: str, interactions: list[dict]) -> np.ndarray:
    """What coba says that each arm would have earned on each decision."""
    seen = list(OpeRewards(kind).filter([dict(i) for i in interactions]))
    return np.array([[float(i["rewards"](arm)) for arm in ARMS] for i in seen])


def test_coba_says_the_same_of_ips_dm_and_dr() -> None:
    theirs, bare = logged(400, 1)
    model = matrix("DM", theirs)  # Vowpal Wabbit's regression, which coba fits
    seen = Evaluation(bare.target, model, bare.action, bare.reward, bare.propensity)
    for kind, ours in (("IPS", ips), ("DM", dm), ("DR", dr)):
        expected = float((bare.target * matrix(kind, theirs)).sum(axis=1).mean())
        assert ours(seen).value == pytest.approx(expected, abs=1e-12), kind


def test_vowpal_wabbits_estimators_say_the_same_of_ips_and_snips() -> None:
    _, seen = logged(400, 2)
    pairs = ((vw_ips.Estimator(), ips), (vw_snips.Estimator(), snips))
    interval = gaussian.Interval()
    for i in range(400):
        p_log, r = float(seen.propensity[i]), float(seen.reward[i])
        p_pred = float(seen.target[i, seen.action[i]])
        for theirs, _ in pairs:
            theirs.add_example(p_log, r, p_pred)
        interval.add_example(p_log, r, p_pred)
    for theirs, ours in pairs:
        assert ours(seen).value == pytest.approx(theirs.get(), abs=1e-12)
    found = ips(seen)
    low, high = interval.get(alpha=0.05)  # theirs is cut off at the rewards' range
    assert max(found.ci[0], 0.0) == pytest.approx(low, abs=2e-3)
    assert min(found.ci[1], 1.0) == pytest.approx(high, abs=2e-3)


def heavy(n: int, seed: int) -> Evaluation:
    """A target that the log seldom follows: weights of 20."""
    rng = np.random.default_rng(seed)
    action = (rng.random(n) < 0.05).astype(int)
    reward = (rng.random(n) < np.where(action == 1, 0.7, 0.4)).astype(float)
    target = np.tile([0.0, 1.0], (n, 1))
    model = np.tile([0.4, 0.5], (n, 1))
    return Evaluation(target, model, action, reward, np.where(action == 1, 0.05, 0.95))


def clipped(seen: Evaluation, text: str) -> Evaluation:
    return Evaluation(
        seen.target, seen.model, seen.action, seen.reward, seen.propensity, Clip.parse(text)
    )


def test_clipping_trades_variance_for_bias() -> None:
    whole = heavy(4000, 0)
    for text in ("10", "switch:10", "shrink:50", "clip:10"):
        found = dr(clipped(whole, text))
        assert found.ci[1] - found.ci[0] < dr(whole).ci[1] - dr(whole).ci[0]
        assert 0.5 - 1e-9 <= found.value < dr(whole).value  # towards the model's 0.5
    assert dr(clipped(whole, "switch:10")).value == dm(whole).value
    assert clipped(whole, "10").weights.max() == 10
    assert clipped(whole, "auto").weights.max() == 20  # below the root of 4,000
    assert dr(clipped(whole, "1e9")).value == dr(whole).value


@pytest.mark.parametrize("text", ["", "many", "-1", "0", "nan", "inf", "cut:3", "switch:"])
def test_clippings_that_there_are_not_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Clip.parse(text)
    assert caught.value.field == "clip"


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=50),
    st.floats(0.01, 1e3),
    st.sampled_from(["clip", "switch", "shrink", "auto"]),
)
def test_clipping_only_ever_lowers_a_weight(raw: list[float], limit: float, kind: str) -> None:
    weights = np.array(raw)
    used = Clip(kind, limit).apply(weights)
    assert (used <= weights + 1e-12).all()
    assert (used >= 0).all()
    assert used.max() <= Clip(kind, limit).highest(len(raw), 1e-3) * (1 + 1e-9)


def test_intervals_of_every_kind_hold_the_truth() -> None:
    held = dict.fromkeys(("normal", "bootstrap", "bernstein"), 0)
    for seed in range(150):
        seen = clipped(heavy(1500, seed), "20")
        for how in held:
            low, high = dr(seen, how).ci
            held[how] += low <= 0.7 <= high
    assert held["normal"] >= 135
    assert held["bootstrap"] >= 135
    assert held["bernstein"] == 150
    seen = heavy(1500, 0)
    assert dr(seen, "bootstrap") == dr(seen, "bootstrap")
    assert ips(seen, "bootstrap").ci == pytest.approx(ips(seen).ci, abs=0.02)
    assert snips(seen, "bootstrap").ci == pytest.approx(snips(seen).ci, abs=0.02)


def test_intervals_of_one_term_and_at_other_levels() -> None:
    assert all(math.isnan(bound) for bound in mean_interval(np.array([1.0]))[1])
    terms = np.random.default_rng(0).random(100)
    _, wide = ratio_interval(terms, np.ones(100), level=0.99)
    _, narrow = mean_interval(terms)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_no_overlap_is_no_promise() -> None:
    n = 1000
    action = np.arange(n) % 2
    propensity = np.full(n, 0.5)
    never = np.tile([0.0, 0.2, 0.8], (n, 1))
    seen = Evaluation(never, np.full((n, 3), 0.5), action, np.ones(n), propensity)
    found = overlap(seen, ARMS)
    assert found.verdict == "none"
    assert found.unseen == pytest.approx(0.8)
    assert "no promise" in found.says
    assert "80% of its choices" in found.says
    assert "(c)" in found.says
    good = Evaluation(np.tile([0.5, 0.5, 0], (n, 1)), seen.model, action, seen.reward, propensity)
    assert overlap(good, ARMS).verdict == "good"
    assert overlap(good, ARMS).ess == pytest.approx(n)
    # The same choices, but the log's own probabilities say that half of them were impossible.
    logging = np.tile([0.5, 0.5, 0.0], (n, 1))
    logging[: n // 4, 0] = 1e-9
    assert overlap(good, ARMS, logging).verdict == "thin"
    few = Evaluation(good.target[:8], good.model[:8], action[:8], np.ones(8), propensity[:8])
    assert overlap(few, ARMS).verdict == "none"
    assert overlap(heavy(1000, 0), ("a", "b")).verdict == "thin"
    blind = Evaluation(good.target, good.model, action, seen.reward, None)
    assert overlap(blind, ARMS).verdict == "unknown"


def test_the_best_mix_is_on_the_frontier() -> None:
    value, cost = np.array([0.5, 0.6, 0.9]), np.array([1.0, 2.0, 3.0])
    assert best_mix(value, cost, 2.0).tolist() == pytest.approx([0.5, 0.0, 0.5])
    assert best_mix(value, cost, 9.0).tolist() == pytest.approx([0.0, 0.0, 1.0])
    assert best_mix(value, cost, 0.1).tolist() == pytest.approx([1.0, 0.0, 0.0])


def test_routing_that_is_worth_it_is_said_to_be() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    x = rng.integers(2, size=n)
    quality = np.stack([np.where(x == 0, 0.9, 0.2), np.where(x == 0, 0.3, 0.8)], axis=1)
    action = rng.integers(2, size=n)
    reward = (rng.random(n) < quality[np.arange(n), action]).astype(float)

    def see(target: np.ndarray, of: np.ndarray) -> Evaluation:
        return Evaluation(target, np.full((n, 2), of.mean()), action, of, np.full(n, 0.5))

    targets = {"router": np.eye(2)[x]}
    targets |= {f"fixed:{m}": np.tile(np.eye(2)[i], (n, 1)) for i, m in enumerate("ab")}
    seen = {name: see(target, reward) for name, target in targets.items()}
    bills = {name: see(target, 1.0 + action) for name, target in targets.items()}
    support = {name: overlap(s, "ab") for name, s in seen.items()}
    found = worth_it(seen, bills, support, ["router"], "ab", "normal")
    assert found["verdict"] == "yes"
    assert found["ci"][0] < 0.3 < found["ci"][1]  # 0.85 of the router, 0.55 of either model
    assert found["cost_usd"] == pytest.approx(1.5, abs=0.1)
    assert sum(found["best_mix"]["weights"].values()) == pytest.approx(1.0)
    assert found["best_mix"]["ci"][0] > 0
    backwards = seen | {"router": see(np.eye(2)[1 - x], reward)}
    assert worth_it(backwards, bills, support, ["router"], "ab", "normal")["verdict"] == "no"
    without = dict.fromkeys(bills)
    assert worth_it(seen, without, support, ["router"], "ab", "normal")["best_mix"] is None
    assert (doubly_robust(seen["router"]).mean() - 0.85) ** 2 < 1e-3
