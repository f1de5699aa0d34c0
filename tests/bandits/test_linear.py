"""The ridge regressions: equal to the closed form, and exactly undone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.credit import credit
from bandit_router.bandits.linear import LinearPosterior, Ridge


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_it_is_the_ridge_regression(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, w = rng.normal(size=(n, 4)), rng.random(n), rng.integers(1, 4, n).astype(float)
    ridge = Ridge(2.0)
    ridge.add_arm()
    ridge.add_arm()
    for row, value, weight in zip(x, y, w, strict=True):
        ridge.add(1, row, weight, weight * value)
    at = rng.normal(size=4)
    mean, size = ridge.predict(at, np.array([0.5, 0.25]))
    precision = 2.0 * np.eye(4) + (x.T * w) @ x
    moment = x.T @ (w * y) + 2.0 * 0.25 * np.eye(4)[-1]
    np.testing.assert_allclose(mean[1], at @ np.linalg.solve(precision, moment), rtol=1e-8)
    np.testing.assert_allclose(size[1], at @ np.linalg.solve(precision, at), rtol=1e-8)
    np.testing.assert_allclose(mean[0], 0.5 * at[-1])


@given(st.integers(0, 2**32 - 1))
def test_taking_back_leaves_what_was(seed: int) -> None:
    rng = np.random.default_rng(seed)
    posterior = LinearPosterior(1.0, 0.25)
    posterior.set_arm("a", None, None)
    at = np.append(rng.normal(size=5), 1.0)
    kept = [(np.append(rng.normal(size=5), 1.0), rng.random()) for _ in range(5)]
    for x, reward in kept:
        posterior.learn(x, credit("a", [(1.0, reward)], 0.01 * reward, 100.0).sums, "a")
    before = posterior.at(at)
    wrong = credit("a", [(2.0, 1.0)], 5.0, 9.0).sums
    x = np.append(rng.normal(size=5), 1.0)
    posterior.learn(x, wrong, "a")
    posterior.learn(x, tuple(-x for x in wrong), "a")
    after = posterior.at(at)
    for field in ("quality", "quality_var", "cost", "latency"):
        np.testing.assert_allclose(getattr(after, field), getattr(before, field), atol=1e-9)


def test_a_long_life_keeps_the_inverse_true() -> None:
    rng = np.random.default_rng(0)
    ridge = Ridge(1.0)
    ridge.add_arm()
    for _ in range(2_000):
        ridge.add(0, rng.normal(size=6), 1.0, 1.0)
    np.testing.assert_allclose(ridge.inverse[0] @ ridge.precision[0], np.eye(6), atol=1e-9)
