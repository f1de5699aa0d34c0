"""What a posterior says of every arm at one place, and the utility that follows from it."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..types import Utility

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Belief(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Posterior means and variances of every arm at one place, each of shape (arms,).

    Costs are US dollars, latencies milliseconds. `cost` and `latency` are nan where neither
    observation nor price says anything. `evidence` is the weight of feedback seen at the
    finest place; `support`, shape (levels + 1, arms), the same over the whole map and around the
    place at each level, coarsest first, by nearness. `sampling_var` is what Thompson sampling
    draws quality with: narrower than `quality_var` (which honest intervals need), see
    `BanditSettings` (None: the same). `beta` holds shape (2, arms) parameters where quality is
    Beta distributed; otherwise it is Gaussian.
    """

    quality: Array
    quality_var: Array
    cost: Array
    cost_var: Array
    latency: Array
    latency_var: Array
    evidence: Array
    support: Array
    sampling_var: Array | None = None
    sharpening: float = 1.0
    beta: Array | None = None


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
    mean = belief.quality
    var = belief.quality_var if belief.sampling_var is None else belief.sampling_var
    for weight, value, value_var, reference in (
        (utility.cost_weight, belief.cost, belief.cost_var, utility.reference_cost_usd),
        (
            utility.latency_weight,
            belief.latency,
            belief.latency_var,
            utility.reference_latency_ms,
        ),
    ):
        if weight:
            mean, var = _less(mean, var, value, value_var, weight / reference, belief.sharpening)
    return UtilityBelief(mean=mean, var=var, quality=belief.quality, beta=belief.beta)


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
