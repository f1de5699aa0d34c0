"""Providers that go down: the same model at two of three, for the scenario `outage`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PROVIDERS = 3
_MEAN_LENGTH = 100.0  # steps
_SHARE_DOWN = 0.25


def outages(models: int, steps: int, seed: int) -> NDArray[np.bool_]:
    """Return at which steps a model cannot be had anywhere, shape (steps, models).

    Each of three providers is down for a quarter of the time, 100 steps at a stretch on average
    (a Markov chain with two states); model i is at the providers i and i + 1, counted round. A
    model is down while both of its providers are: one step in sixteen.
    """
    rng = np.random.default_rng([seed, 4])
    end = 1.0 / _MEAN_LENGTH
    begin = end * _SHARE_DOWN / (1.0 - _SHARE_DOWN)
    down = np.zeros((steps, PROVIDERS), dtype=bool)
    now = rng.random(PROVIDERS) < _SHARE_DOWN
    for step in range(steps):
        chance = rng.random(PROVIDERS)
        now = np.where(now, chance >= end, chance < begin)
        down[step] = now
    first = np.arange(models) % PROVIDERS
    out: NDArray[np.bool_] = down[:, first] & down[:, (first + 1) % PROVIDERS]
    return out
