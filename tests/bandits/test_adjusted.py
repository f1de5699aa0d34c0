"""Levels are adjusted for difficulty, from sums that can be taken back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.adjusted import AdjustedLevels
from bandit_router.bandits.credit import credit

PRIOR, NOISE = np.full(3, 0.5), np.full(3, 0.2)


def levels() -> AdjustedLevels:
    out = AdjustedLevels()
    for _ in range(3):
        out.add_arm()
    return out


def sums(reward: float, weight: float = 1.0) -> tuple[float, ...]:
    return credit("", [(weight, reward)], None, None).sums


seen = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1), st.integers(0, 2**16)), max_size=40)


@given(seen, seen)
def test_taking_back_is_exact(kept: list, taken: list) -> None:
    one, other = levels(), levels()
    for arm, reward, seed in [*kept, *taken]:
        one.add(arm, sums(reward), np.random.default_rng(seed).normal(size=4))
    for arm, reward, seed in taken:
        one.add(arm, sums(reward, -1.0), np.random.default_rng(seed).normal(size=4))
    for arm, reward, seed in kept:
        other.add(arm, sums(reward), np.random.default_rng(seed).normal(size=4))
    one.fit(PRIOR, NOISE)
    other.fit(PRIOR, NOISE)
    assert np.allclose(one.levels, other.levels, atol=1e-8)


def test_slope_and_levels_are_found_together() -> None:
    rng = np.random.default_rng(0)
    model = levels()
    truth, slope = np.array([0.6, 0.5, 0.3]), np.array([0.2, -0.1])
    for _ in range(6000):
        z = rng.normal(size=2)
        z /= np.linalg.norm(z)
        # The best arm is given the hard prompts.
        arm = 0 if z[0] < 0 and rng.random() < 0.8 else int(rng.integers(3))
        model.add(arm, sums(float(rng.random() < truth[arm] + slope @ z)), z)
    for _ in range(5):
        model.fit(PRIOR, NOISE)
    found = model.levels + model.difficulty(np.zeros(2))
    assert np.allclose(found - found[0], truth - truth[0], atol=0.03)
    ends = [model.difficulty(np.array([x, 0.0])) for x in (1.0, -1.0)]
    assert np.isclose(ends[0] - ends[1], 0.4, atol=0.08)


def test_the_spread_between_arms_is_learnt() -> None:
    alike, apart = levels(), levels()
    for _ in range(300):
        for arm, reward in enumerate((0.5, 0.5, 0.5)):
            alike.add(arm, sums(reward), np.zeros(2))
        for arm, reward in enumerate((0.95, 0.5, 0.05)):
            apart.add(arm, sums(reward), np.zeros(2))
        alike.fit(PRIOR, NOISE)
        apart.fit(PRIOR, NOISE)
    assert alike.spread < 0.04 < apart.spread


def test_a_moved_arm_moves_and_weighs_less() -> None:
    model = levels()
    for _ in range(200):
        model.add(0, sums(0.8), np.array([0.6, 0.8]))
        model.add(1, sums(0.5), np.array([0.6, 0.8]))
    model.fit(PRIOR, NOISE)
    before = model.levels.copy()
    model.moved(0, -0.4, 0.5)
    model.fit(PRIOR, NOISE)
    assert (model.levels - model.levels[1])[0] < (before - before[1])[0] - 0.3


@given(seen)
def test_a_tilt_is_the_ridge_regression_of_what_is_left(kept: list) -> None:
    model = levels()
    rows: list[tuple[np.ndarray, float]] = []
    for arm, reward, seed in [*kept, (1, 1.0, 0)]:
        z = np.random.default_rng(seed).normal(size=4)
        model.add(arm, sums(reward), z)
        if arm == 1:
            rows.append((np.append(z, 1.0), reward))
    model.fit(PRIOR, NOISE)
    model.tilt(1)
    x = np.array([x for x, _ in rows])
    left = np.array([reward for _, reward in rows]) - model.levels[1] - x @ model.slope
    doubt = np.sqrt(np.diag([3.0, 3.0, 3.0, 3.0, 30.0]))  # as rows that say: nothing
    expected = np.linalg.lstsq(
        np.vstack([x, doubt]), np.concatenate([left, np.zeros(5)]), rcond=None
    )[0]
    assert np.allclose(model.tilts[0, 1], expected, atol=1e-8)
    assert np.allclose(model.tilts[1, 1], 1 / ((x * x).sum(axis=0) + doubt.diagonal() ** 2))
    assert not model.tilts[0, 2].any()
