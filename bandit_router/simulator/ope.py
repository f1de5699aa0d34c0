"""Off-policy estimators: what another policy would have earned on a log.

Notation: on decision i of n the logging policy chose ``a_i`` with probability ``p_i`` and saw
reward ``r_i``; the target policy would choose arm a with probability ``pi_i(a)``; a model of
the rewards says ``q_i(a)``, from earlier decisions only. ``w_i = pi_i(a_i) / p_i``.

Every estimate is a ratio of two means, ``sum n_i / sum d_i`` (``d_i`` is 1 but for SNIPS), so
that one piece of code gives them all their intervals.

References
----------
Horvitz and Thompson (1952), A generalization of sampling without replacement; Swaminathan and
Joachims (2015), The self-normalized estimator for counterfactual learning; Dudík, Langford and
Li (2011), Doubly robust policy evaluation and learning; Ionides (2008), Truncated importance
sampling; Wang, Agarwal and Dudík (2017), Optimal and adaptive off-policy evaluation in
contextual bandits; Su, Dimakopoulou, Krishnamurthy and Dudík (2020), Doubly robust off-policy
evaluation with shrinkage; Maurer and Pontil (2009), Empirical Bernstein bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..exceptions import InvalidInput

Array = NDArray[np.float64]
Interval = Literal["normal", "bootstrap", "bernstein"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)
_RESAMPLES = 1000
_AT_ONCE = 2_000_000  # resampled numbers held in memory


@dataclass(frozen=True)
class Clip:
    """What is done to large importance weights: less variance, for some bias.

    ``clip`` caps them at `limit`; ``switch`` trusts the model alone where they are above it;
    ``shrink`` takes ``w -> w limit / (w^2 + limit)``; ``auto`` caps them at the square root of
    the number of decisions.
    """

    kind: Literal["none", "auto", "clip", "switch", "shrink"] = "none"
    limit: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Clip:
        """Return the clipping of ``none``, ``auto``, ``20``, ``switch:20`` or ``shrink:100``.

        >>> Clip.parse("switch:20")
        Clip(kind='switch', limit=20.0)
        """
        if text == "none":
            return cls()
        if text == "auto":
            return cls("auto")
        kind, _, number = text.rpartition(":")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if kind not in ("", "clip", "switch", "shrink") or not 0 < limit < math.inf:
            raise InvalidInput(
                f"clip is {text!r}; give none, auto, a number above 0, switch:NUMBER or "
                "shrink:NUMBER",
                "clip",
            )
        return cls(kind or "clip", limit)  # type: ignore[arg-type]

    def of(self, decisions: int) -> Clip:
        """Return what ``auto`` means for so many decisions."""
        return Clip("clip", math.sqrt(decisions)) if self.kind == "auto" else self

    def apply(self, weights: Array) -> Array:
        """Return the weights to estimate with."""
        if self.kind == "auto":
            return self.of(len(weights)).apply(weights)
        if self.kind == "clip":
            return np.minimum(weights, self.limit)
        if self.kind == "switch":
            return np.where(weights <= self.limit, weights, 0.0)
        if self.kind == "shrink":
            return weights * self.limit / (weights * weights + self.limit)
        return weights

    def highest(self, decisions: int, least: float) -> float:
        """Return what no weight can exceed: the limit, or what the least propensity allows."""
        if self.kind == "shrink":
            return min(1.0 / least, math.sqrt(self.limit) / 2)
        return min(1.0 / least, self.of(decisions).limit)  # of "none" that is infinite


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A log seen through a target policy.

    Attributes
    ----------
    target
        ``pi_i(a)``, shape (n, arms).
    model
        ``q_i(a)``, shape (n, arms).
    action
        ``a_i``, columns, shape (n,).
    reward
        ``r_i``, shape (n,).
    propensity
        ``p_i``, shape (n,); None where the log has none.
    clip
        What is done to large weights.
    """

    target: Array
    model: Array
    action: NDArray[np.int64]
    reward: Array
    propensity: Array | None
    clip: Clip = Clip()

    @property
    def raw_weights(self) -> Array:
        """Importance weights ``w_i``, shape (n,)."""
        assert self.propensity is not None
        out: Array = self.target[np.arange(len(self.action)), self.action] / self.propensity
        return out

    @property
    def weights(self) -> Array:
        """The weights after clipping, shape (n,)."""
        return self.clip.apply(self.raw_weights)

    @property
    def ess(self) -> float:
        """Effective sample size, ``(sum w)^2 / sum w^2``; 0 without any overlap."""
        return effective(self.weights)

    @property
    def direct(self) -> Array:
        """What the model expects of the target policy on each decision, shape (n,)."""
        out: Array = (self.target * self.model).sum(axis=1)
        return out


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval, and the effective sample size behind it."""

    value: float
    ci: tuple[float, float]
    ess: float


NOTHING = Estimate(math.nan, (math.nan, math.nan), 0.0)
"""What an estimator says that has nothing to go by."""


def ips(seen: Evaluation, interval: Interval = "normal") -> Estimate:
    """Inverse propensity scoring: the mean of ``w_i r_i``; unbiased, of large variance."""
    return _mean(seen, seen.weights * seen.reward, interval, low=0.0)


def snips(seen: Evaluation, interval: Interval = "normal") -> Estimate:
    """Self-normalised IPS: ``sum w_i r_i / sum w_i``; a little biased, of less variance."""
    w = seen.weights
    if w.sum() <= 0:
        return NOTHING
    spread = _spread(seen, low=0.0) / float(w.mean())
    value, bounds = ratio_interval(w * seen.reward, w, interval, spread)
    return Estimate(value, bounds, seen.ess)


def dm(seen: Evaluation, interval: Interval = "normal") -> Estimate:
    """Direct method: the mean of what the model expects; as biased as the model.

    Its interval is that of the mean, and does not know the bias.
    """
    terms = seen.direct
    value, bounds = mean_interval(terms, interval, float(np.ptp(terms)) if len(terms) else 0.0)
    return Estimate(value, bounds, float(len(terms)))


def dr(seen: Evaluation, interval: Interval = "normal") -> Estimate:
    """Doubly robust: the model, corrected by ``w_i (r_i - q_i(a_i))``.

    Unbiased if the propensities are right, whatever the model; the model takes variance away.
    """
    return _mean(seen, doubly_robust(seen), interval, low=-1.0)


def doubly_robust(seen: Evaluation) -> Array:
    """Return the terms whose mean is the doubly robust estimate, shape (n,)."""
    believed = seen.model[np.arange(len(seen.action)), seen.action]
    return seen.direct + seen.weights * (seen.reward - believed)


Estimator = Callable[[Evaluation, Interval], Estimate]
ESTIMATORS: dict[str, Estimator] = {"ips": ips, "snips": snips, "dm": dm, "dr": dr}


def effective(weights: Array) -> float:
    """Return the effective sample size of importance weights (Kish 1965)."""
    square = float((weights * weights).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def mean_interval(
    terms: Array, how: Interval = "normal", spread: float = 1.0, level: float = 0.95
) -> tuple[float, tuple[float, float]]:
    """Return the mean of independent terms and its interval; see `ratio_interval`."""
    return ratio_interval(terms, np.ones(len(terms)), how, spread, level)


def ratio_interval(
    above: Array,
    below: Array,
    how: Interval = "normal",
    spread: float = 1.0,
    level: float = 0.95,
) -> tuple[float, tuple[float, float]]:
    """Return ``sum above / sum below`` and its interval.

    Parameters
    ----------
    how
        ``normal``: the delta method. ``bootstrap``: percentiles of 1,000 resamples, the same
        at every call. ``bernstein``: holds at any sample size, for terms within `spread`; wide
        (of a ratio, to first order).
    spread
        Highest less lowest value that a term can have.
    """
    value = float(above.sum() / below.sum())
    if len(above) < 2:
        return value, (math.nan, math.nan)
    alpha = 1.0 - level
    if how == "bootstrap":
        low, high = np.quantile(_resampled(above, below), [alpha / 2, 1 - alpha / 2])
        return value, (float(low), float(high))
    residual = (above - value * below) / below.mean()
    half = half_width(float(residual.std(ddof=1)), len(above), how, spread, level)
    return value, (value - half, value + half)


def half_width(
    deviation: float, n: int, how: Interval, spread: float = 1.0, level: float = 0.95
) -> float:
    """Return half the width of the interval of a mean of `n` terms; see `ratio_interval`."""
    alpha = 1.0 - level
    error = deviation / math.sqrt(n)
    if how == "bernstein":
        doubt = math.log(4.0 / alpha)
        return error * math.sqrt(2 * doubt) + 7 * spread * doubt / (3 * (n - 1))
    return float(stats.norm.ppf(1 - alpha / 2)) * error


def _resampled(above: Array, below: Array) -> Array:
    """Return the ratio in resamples of the terms, shape (resamples,)."""
    rng = np.random.default_rng(0)
    n = len(above)
    step = max(1, _AT_ONCE // n)
    out = []
    for begin in range(0, _RESAMPLES, step):
        rows = rng.integers(n, size=(min(step, _RESAMPLES - begin), n))
        total = below[rows].sum(axis=1)
        out.append(above[rows].sum(axis=1) / np.where(total == 0, np.nan, total))
    found: Array = np.concatenate(out)
    return found[np.isfinite(found)]


def _mean(seen: Evaluation, terms: Array, how: Interval, low: float) -> Estimate:
    value, interval = mean_interval(terms, how, _spread(seen, low))
    return Estimate(value, interval, seen.ess)


def _spread(seen: Evaluation, low: float) -> float:
    assert seen.propensity is not None
    return spread_of(seen.clip.highest(len(seen.action), float(seen.propensity.min())), low)


def spread_of(highest: float, low: float) -> float:
    """Range of a term, of rewards and models in [0, 1]: [0, w] of IPS, [-w, 1 + w] of DR."""
    return highest - low * (highest + 1.0)
