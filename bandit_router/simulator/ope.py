"""Off-policy estimators: what another policy would have earned on a log.

Notation: on decision i of n the logging policy chose ``a_i`` with probability ``p_i`` and saw
reward ``r_i``; the target policy would choose arm a with probability ``pi_i(a)``; a model of
the rewards says ``q_i(a)``, from earlier decisions only. ``w_i = pi_i(a_i) / p_i``.

References
----------
Horvitz and Thompson (1952), A generalization of sampling without replacement; Swaminathan and
Joachims (2015), The self-normalized estimator for counterfactual learning; Dudík, Langford and
Li (2011), Doubly robust policy evaluation and learning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_Z95 = 1.959964


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
    """

    target: Array
    model: Array
    action: NDArray[np.int64]
    reward: Array
    propensity: Array | None

    @property
    def weights(self) -> Array:
        """Importance weights ``w_i``, shape (n,)."""
        assert self.propensity is not None
        out: Array = self.target[np.arange(len(self.action)), self.action] / self.propensity
        return out

    @property
    def ess(self) -> float:
        """Effective sample size, ``(sum w)^2 / sum w^2``; 0 without any overlap."""
        w = self.weights
        square = float((w * w).sum())
        return float(w.sum()) ** 2 / square if square > 0 else 0.0

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


def ips(seen: Evaluation) -> Estimate:
    """Inverse propensity scoring: the mean of ``w_i r_i``; unbiased, of large variance."""
    return _mean(seen.weights * seen.reward, seen.ess)


def snips(seen: Evaluation) -> Estimate:
    """Self-normalised IPS: ``sum w_i r_i / sum w_i``; interval by the delta method."""
    w = seen.weights
    if w.sum() <= 0:
        return Estimate(float("nan"), (float("nan"), float("nan")), 0.0)
    value = float((w * seen.reward).sum() / w.sum())
    residual = w * (seen.reward - value) / w.mean()
    half = _Z95 * float(residual.std(ddof=1)) / np.sqrt(len(w)) if len(w) > 1 else float("nan")
    return Estimate(value, (value - half, value + half), seen.ess)


def dm(seen: Evaluation) -> Estimate:
    """Direct method: the mean of what the model expects; as biased as the model.

    Its interval is that of the mean, and does not know the bias.
    """
    return _mean(seen.direct, float(len(seen.action)))


def dr(seen: Evaluation) -> Estimate:
    """Doubly robust: the model, corrected by ``w_i (r_i - q_i(a_i))``.

    Unbiased if the propensities are right, whatever the model; the model takes variance away.
    """
    return _mean(doubly_robust(seen), seen.ess)


def doubly_robust(seen: Evaluation) -> Array:
    """Return the terms whose mean is the doubly robust estimate, shape (n,)."""
    believed = seen.model[np.arange(len(seen.action)), seen.action]
    return seen.direct + seen.weights * (seen.reward - believed)


ESTIMATORS = {"ips": ips, "snips": snips, "dm": dm, "dr": dr}


def mean_interval(terms: Array) -> tuple[float, tuple[float, float]]:
    """Return the mean of independent terms and its 95 % interval."""
    value = float(terms.mean())
    if len(terms) < 2:
        return value, (float("nan"), float("nan"))
    half = _Z95 * float(terms.std(ddof=1)) / float(np.sqrt(len(terms)))
    return value, (value - half, value + half)


def _mean(terms: Array, ess: float) -> Estimate:
    value, interval = mean_interval(terms)
    return Estimate(value, interval, ess)
