"""Beliefs that pool nothing: an arm's mean without a map, a Beta posterior of its own with one."""

from __future__ import annotations

import numpy as np

from ..clustering import NOWHERE
from ..clustering.surroundings import parts
from .arms import NOISE, PRIOR
from .belief import COST, EVIDENCE, LATENCY, MEAN, SAMPLING, SUPPORT, VAR, Array, Belief
from .credit import CN, LN, ROWS, R, W
from .rates import rates

PRIOR_WEIGHT = 1.0
"""Observations that an arm's prior weighs as much as."""


def means(arms: Array) -> Array:
    """Return each arm's mean quality over the whole map, its prior counted in, shape (arms,).

    Parameters
    ----------
    arms
        Shape (`ARM_ROWS`, arms), see `arms`.
    """
    quality: Array = (arms[R] + PRIOR_WEIGHT * arms[PRIOR]) / (arms[W] + PRIOR_WEIGHT)
    return quality


def without_map(arms: Array) -> Belief:
    """Return what is believed of every arm where there are no places: its level is its mean."""
    table = np.empty((SUPPORT + 1, arms.shape[1]))
    table[MEAN] = means(arms)
    table[VAR] = table[SAMPLING] = arms[NOISE] / (arms[W] + PRIOR_WEIGHT)
    table[EVIDENCE] = table[SUPPORT] = arms[W]
    none = np.empty((0, ROWS, arms.shape[1]))
    starts, rows, kernel, _ = parts(NOWHERE.words)
    rates(table, COST, arms, CN, none, rows, kernel, starts)
    rates(table, LATENCY, arms, LN, none, rows, kernel, starts)
    return Belief(table)


def each_by_itself(belief: Belief, own: Array, prior: Array) -> Belief:
    """Return `belief` with a Beta posterior of every arm's quality from its own evidence alone.

    Parameters
    ----------
    own
        Sums of the arms in the finest cluster; shape (at least `ROWS`, arms).
    prior
        Their mean quality before any evidence, shape (arms,).
    """
    n, s = own[W], own[R]
    twice = 2.0 * np.clip(prior, 0.01, 0.99)
    beta = np.stack([s + twice, np.maximum(n - s, 0.0) + 2.0 - twice])
    size = beta.sum(axis=0)
    mean = beta[0] / size
    var = mean * (1 - mean) / (size + 1)
    table = belief.table.copy()
    table[MEAN], table[VAR], table[SAMPLING] = mean, var, var
    return Belief(table, beta=beta)
