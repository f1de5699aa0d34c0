"""Propensities are the probabilities that Thompson sampling really has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.belief import (
    COST,
    LATENCY,
    MEAN,
    SAMPLING,
    SUPPORT,
    Belief,
    UtilityBelief,
    _charge,
    compose,
)
from bandit_router.bandits.draws import Draws
from bandit_router.bandits.thompson import draw, propensities, with_floor
from bandit_router.types import Utility


def gaussian(mean: np.ndarray, var: np.ndarray) -> UtilityBelief:
    return UtilityBelief(np.stack([mean, var]))


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_propensities_are_probabilities_of_the_eligible(arms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    belief = gaussian(rng.normal(0.5, 0.2, arms), 10 ** rng.uniform(-9, -1, arms))
    eligible = rng.random(arms) < 0.7
    eligible[rng.integers(arms)] = True
    chance = propensities(belief, eligible)
    assert chance.sum() == pytest.approx(1.0)
    assert (chance >= 0).all()
    assert not chance[~eligible].any()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("family", ["gaussian", "beta"])
def test_propensities_agree_with_monte_carlo(seed: int, family: str) -> None:
    rng = np.random.default_rng(seed)
    arms, draws, numbers = int(rng.integers(2, 14)), 200_000, Draws(seed)
    if family == "gaussian":
        belief = gaussian(rng.normal(0.5, 0.1, arms), 10 ** rng.uniform(-6, -1.5, arms))
    else:
        beta = 10 ** rng.uniform(-0.3, 3, (2, arms))
        quality = beta[0] / beta.sum(axis=0)
        mean = quality - rng.uniform(0, 0.3, arms)
        belief = UtilityBelief(np.stack([mean, mean]), shift=mean - quality, beta=beta)
    won = np.bincount(
        [int(draw(belief, numbers.at(i)).argmax()) for i in range(draws // 10)], minlength=arms
    ) / (draws // 10)
    chance = propensities(belief, np.ones(arms, dtype=bool))
    error = np.sqrt(chance * (1 - chance) / (draws // 10))
    assert (np.abs(won - chance) < 5 * error + 0.002).all()


def test_equal_arms_have_equal_chances_at_any_width() -> None:
    for var in (1e-18, 1e-6, 1.0):
        chance = propensities(gaussian(np.full(5, 0.3), np.full(5, var)), np.ones(5, dtype=bool))
        assert chance == pytest.approx(np.full(5, 0.2))


def test_a_narrow_posterior_beside_a_wide_one() -> None:
    belief = gaussian(np.array([0.5, 0.5]), np.array([1e-12, 0.04]))
    assert propensities(belief, np.ones(2, dtype=bool)) == pytest.approx([0.5, 0.5], abs=1e-3)


@given(st.integers(1, 10), st.floats(0, 0.5))
def test_a_floor_is_kept_and_the_sum_stays_one(arms: int, floor: float) -> None:
    eligible = np.ones(arms, dtype=bool)
    chance = np.zeros(arms)
    chance[0] = 1.0
    mixed = with_floor(chance, eligible, floor)
    assert mixed.sum() == pytest.approx(1.0)
    assert mixed.min() >= min(floor, 1 / arms) - 1e-12


def test_utility_is_composed_of_its_terms() -> None:
    table = np.zeros((SUPPORT + 1, 2))
    table[MEAN], table[SAMPLING] = (0.8, 0.6), 0.01
    table[COST], table[LATENCY] = (0.02, 0.01), (1000.0, np.nan)
    belief = Belief(table)
    terms = Utility(cost_weight=0.5, reference_cost_usd=0.02, latency_weight=0.1)
    out = compose(belief, terms)
    assert out.mean == pytest.approx([0.8 - 0.5 - 0.1, 0.6 - 0.25 - 0.1])
    assert out.shift is None
    plain = compose(belief, Utility(cost_weight=0, latency_weight=0))  # integers, as a caller may
    assert plain.mean == pytest.approx([0.8, 0.6])
    assert len(_charge.signatures) == 1  # type: ignore[attr-defined]
    shifted = compose(Belief(table, beta=np.ones((2, 2))), terms)
    assert shifted.shift == pytest.approx(out.mean - belief.quality)
