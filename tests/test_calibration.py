"""The propensity that is logged is the probability that there was."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from bandit_router import Router
from bandit_router.config import Settings

ARMS = ("a", "b", "c", "d")
EDGES = np.array([0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.99, 1.0 + 1e-9])


def decisions(settings: Settings, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every candidate's logged propensity, and whether it was chosen."""
    rng = np.random.default_rng(seed)
    router = Router(ARMS, settings=settings, embedder="none")
    topics = rng.normal(size=(12, 6))
    mean = rng.uniform(0.3, 0.8, (12, len(ARMS)))
    logged, chosen = np.zeros((count, len(ARMS))), np.zeros((count, len(ARMS)), dtype=bool)
    for step in range(count):
        topic = int(rng.integers(12))
        vector = topics[topic] + 0.4 * rng.normal(size=6)
        if step % 10:  # most decisions are asked for at a state that others see too
            decision = router.decide(vector=vector)
            settings_ = msgspec.structs.replace(router.settings.bandit, seed=step)
            router.settings = msgspec.structs.replace(router.settings, bandit=settings_)
        else:
            decision = router.route(vector=vector)
            arm = ARMS.index(decision.model)
            router.feedback(decision.decision_id, float(rng.random() < mean[topic, arm]))
        logged[step] = [c.propensity for c in decision.candidates]
        chosen[step] = [c.model == decision.model for c in decision.candidates]
    return logged.ravel(), chosen.ravel()


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 100_000),
        ({"floor": 0.02}, 15_000),
        ({"strategy": "global-thompson"}, 15_000),
        ({"pooling": "flat"}, 15_000),
    ],
)
def test_logged_propensities_are_realised_frequencies(changes: dict, count: int) -> None:
    bandit = msgspec.structs.replace(Settings().bandit, **changes)
    logged, chosen = decisions(Settings(bandit=bandit), count, seed=len(changes) + count)
    assert logged.reshape(count, -1).sum(axis=1) == pytest.approx(np.ones(count), abs=1e-9)
    where = np.digitize(logged, EDGES)
    for cell in np.unique(where):
        p, hit = logged[where == cell], chosen[where == cell]
        error = np.sqrt((p * (1 - p)).sum()) + 1.0
        # Four standard errors, and the quadrature's own error, stated as 0.002.
        assert abs(hit.sum() - p.sum()) < 4.0 * error + 0.002 * len(p), (cell, hit.sum(), p.sum())
    assert (np.bincount(where, minlength=4) > 100).sum() >= 4  # not all were certain
