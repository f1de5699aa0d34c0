"""What a posterior says of every arm at one place, and the utility that follows from it."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..types import Utility

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


MEAN, SAMPLING, VAR, COST, COST_VAR, LATENCY, LATENCY_VAR, EVIDENCE, SUPPORT = range(9)
"""Rows of a `Belief`; the first two are its `moments`, `SUPPORT` is the first of several."""


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
    """Gaussian (or shifted Beta) posterior of each arm's utility.

    Attributes
    ----------
    moments
        Means and variances, shape (2, arms); not to be written to.
    shift, beta
        What cost and latency take from quality, shape (arms,), and the parameters of its Beta
        distribution, shape (2, arms); None where it is Gaussian.
    """

    moments: Array
    shift: Array | None = None
    beta: Array | None = None

    @property
    def mean(self) -> Array:
        """Means, shape (arms,)."""
        out: Array = self.moments[0]
        return out

    @property
    def var(self) -> Array:
        """Variances, shape (arms,)."""
        out: Array = self.moments[1]
        return out


def compose(belief: Belief, utility: Utility) -> UtilityBelief:
    """Return ``quality - cost_weight * cost / reference - latency_weight * latency / reference``.

    The variance is the one to sample with. Quality, cost and latency are taken to be independent
    given the place. An arm of unknown cost (or latency) is given the mean of the others.
    """
    table = belief.table
    moments = table[: SAMPLING + 1]
    if utility.cost_weight or utility.latency_weight:
        moments = moments.copy()
        _charge(
            table,
            utility.cost_weight / utility.reference_cost_usd,
            utility.latency_weight / utility.reference_latency_ms,
            belief.sharpening,
            moments,
        )
    if belief.beta is None:
        return UtilityBelief(moments)
    return UtilityBelief(moments, moments[0] - table[MEAN], belief.beta)


@compiled
def _charge(
    table: Array, per_dollar: float, per_ms: float, sharpening: float, moments: Array
) -> None:
    """Take cost and latency from the moments of quality."""
    if per_dollar:
        _less(table, COST, per_dollar, sharpening, moments)
    if per_ms:
        _less(table, LATENCY, per_ms, sharpening, moments)


@compiled
def _less(table: Array, row: int, scale: float, sharpening: float, moments: Array) -> None:
    """Take what a row, and the variances after it, say from the utility."""
    total, known = 0.0, 0
    for a in range(table.shape[1]):
        if np.isfinite(table[row, a]):
            total += table[row, a]
            known += 1
    middle = total / known if known else 0.0
    for a in range(table.shape[1]):
        finite = np.isfinite(table[row, a])
        moments[0, a] -= scale * (table[row, a] if finite else middle)
        spread = table[row + 1, a] if finite else 0.1 * middle * middle
        moments[1, a] += scale * scale * spread / sharpening
