"""What a posterior says of every arm at one place, and the utility that follows from it."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..types import Utility

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


MEAN, VAR, SAMPLING, COST, COST_VAR, LATENCY, LATENCY_VAR, EVIDENCE, SUPPORT = range(9)
"""Rows of a `Belief`; `SUPPORT` is the first of several."""


class Belief(msgspec.Struct, frozen=True, gc=False):
    """Posterior means and variances of every arm at one place.

    Attributes
    ----------
    table
        Shape (rows, arms), a row for each of the properties below and more of `support`.
    sharpening
        What the variances of cost and latency are divided by to sample with.
    beta
        Shape (2, arms), parameters where quality is Beta distributed; otherwise it is Gaussian.
    """

    table: Array
    sharpening: float = 1.0
    beta: Array | None = None

    @property
    def quality(self) -> Array:
        """Mean quality, shape (arms,)."""
        return self._row(MEAN)

    @property
    def quality_var(self) -> Array:
        """Its variance, as honest intervals need it."""
        return self._row(VAR)

    @property
    def sampling_var(self) -> Array:
        """What Thompson sampling draws quality with: narrower, see `BanditSettings`."""
        return self._row(SAMPLING)

    @property
    def cost(self) -> Array:
        """Mean cost, US dollars; nan where neither observation nor price says anything."""
        return self._row(COST)

    @property
    def cost_var(self) -> Array:
        """Its variance."""
        return self._row(COST_VAR)

    @property
    def latency(self) -> Array:
        """Mean latency, milliseconds; nan where nothing was observed."""
        return self._row(LATENCY)

    @property
    def latency_var(self) -> Array:
        """Its variance."""
        return self._row(LATENCY_VAR)

    @property
    def evidence(self) -> Array:
        """Weight of feedback seen at the finest place."""
        return self._row(EVIDENCE)

    @property
    def support(self) -> Array:
        """The same over the whole map and around the place at each level, coarsest first.

        Shape (levels + 1, arms); neighbours count by nearness.
        """
        out: Array = self.table[SUPPORT:]
        return out

    def _row(self, row: int) -> Array:
        out: Array = self.table[row]
        return out


class UtilityBelief(msgspec.Struct, frozen=True, gc=False):
    """Gaussian (or shifted Beta) posterior of each arm's utility, shape (arms,)."""

    mean: Array
    var: Array
    quality: Array
    beta: Array | None = None

    @property
    def shift(self) -> Array:
        """What cost and latency take from quality."""
        return self.mean - self.quality


def compose(belief: Belief, utility: Utility) -> UtilityBelief:
    """Return ``quality - cost_weight * cost / reference - latency_weight * latency / reference``.

    The variance is the one to sample with. Quality, cost and latency are taken to be independent
    given the place. An arm of unknown cost (or latency) is given the mean of the others.
    """
    table, sharpening = belief.table, belief.sharpening
    quality = mean = table[MEAN]
    var = table[SAMPLING]
    for weight, row, reference in (
        (utility.cost_weight, COST, utility.reference_cost_usd),
        (utility.latency_weight, LATENCY, utility.reference_latency_ms),
    ):
        if weight:
            mean, var = _less(mean, var, table[row], table[row + 1], weight / reference, sharpening)
    return UtilityBelief(mean, var, quality, belief.beta)


@compiled
def _less(
    mean: Array, var: Array, value: Array, value_var: Array, scale: float, sharpening: float
) -> tuple[Array, Array]:
    total, known = 0.0, 0
    for a in range(len(value)):
        if np.isfinite(value[a]):
            total += value[a]
            known += 1
    middle = total / known if known else 0.0
    less, more = np.empty(len(mean)), np.empty(len(mean))
    for a in range(len(value)):
        finite = np.isfinite(value[a])
        less[a] = mean[a] - scale * (value[a] if finite else middle)
        spread = value_var[a] if finite else 0.1 * middle * middle
        more[a] = var[a] + scale * scale * spread / sharpening
    return less, more
