"""Bayesian ridge regressions, one for each arm, whose evidence can be taken back exactly.

The state is sums: precision matrices, moments, weights. Means and variances are derived when
they are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .belief import COST, EVIDENCE, LATENCY, MEAN, SAMPLING, SUPPORT, VAR, Array, Belief
from .credit import NOTHING, Sums

_REFRESH = 500  # rank-one steps of an arm until its inverse is computed afresh
_LEAST = 1e-6  # below this a rank-one step is too near to a singular matrix
_W, _CN, _LN = 0, 3, 6  # rows of a credit's sums: see `bandits.posterior.credit`


class Ridge:
    """``E[y | x, arm] = x @ theta[arm]`` with a Gaussian prior, for several arms.

    With prior ``theta ~ N(m e, I / ridge)``, where `e` picks the last feature (the constant) and
    `m` is the arm's prior mean, the posterior is ``N(theta, noise * inverse)`` with
    ``inverse = (ridge I + sum w x x')^-1`` and ``theta = inverse (sum w y x + ridge m e)``.

    Parameters
    ----------
    ridge
        Pseudo-observations behind the prior.

    Attributes
    ----------
    inverse
        Shape (arms, d, d).
    moment
        Sum of ``w y x``, shape (arms, d).
    weight, total
        Sums of ``w`` and ``w y``, shape (arms,).
    """

    def __init__(self, ridge: float) -> None:
        self._ridge = ridge
        self.weight = np.zeros(0)
        self.total = np.zeros(0)
        self._steps = np.zeros(0, dtype=np.int64)
        self.precision = np.zeros((0, 0, 0))
        self.inverse = np.zeros((0, 0, 0))
        self.moment = np.zeros((0, 0))

    def add_arm(self) -> None:
        """Add an arm of which nothing is known."""
        self.weight, self.total = np.append(self.weight, 0.0), np.append(self.total, 0.0)
        self._steps = np.append(self._steps, 0)
        self._grow(self.moment.shape[1])

    def shaped(self, dimension: int) -> None:
        """Make room for features of this dimension, before the first of them."""
        if self.moment.shape[1] != dimension:
            self._grow(dimension)

    def add(self, arm: int, x: Array, weight: float, value: float) -> None:
        """Add `weight` observations at `x` whose values sum to `value`; negative takes back."""
        self.shaped(len(x))
        self.weight[arm] += weight
        self.total[arm] += value
        self.moment[arm] += value * x
        if not weight:
            return
        self.precision[arm] += weight * np.outer(x, x)
        self._steps[arm] += 1
        step = self.inverse[arm] @ x
        size = 1.0 + weight * float(x @ step)
        if self.weight[arm] < NOTHING:  # nothing left, or more taken back than was held
            self._forget(arm)
        elif size < _LEAST or self._steps[arm] % _REFRESH == 0:
            try:
                np.linalg.cholesky(self.precision[arm])
            except np.linalg.LinAlgError:
                self._forget(arm)
            else:
                self.inverse[arm] = np.linalg.inv(self.precision[arm])
        else:
            self.inverse[arm] -= (weight / size) * np.outer(step, step)

    def _forget(self, arm: int) -> None:
        eye = np.eye(self.moment.shape[1])
        self.precision[arm], self.inverse[arm] = self._ridge * eye, eye / self._ridge
        self.weight[arm], self.total[arm], self.moment[arm] = 0.0, 0.0, 0.0

    def fade(self, arm: int, kept: float) -> None:
        """Let an arm's evidence count `kept` times what it did."""
        if not self.moment.shape[1] or kept == 1.0:
            return
        eye = np.eye(self.moment.shape[1])
        self.precision[arm] = kept * self.precision[arm] + (1.0 - kept) * self._ridge * eye
        self.inverse[arm] = np.linalg.inv(self.precision[arm])
        for sums in (self.moment, self.weight, self.total):
            sums[arm] *= kept

    def predict(self, x: Array, prior: Array) -> tuple[Array, Array]:
        """Return mean and ``x' inverse x`` of every arm at `x`, each of shape (arms,).

        `prior` holds each arm's prior mean.
        """
        if self.moment.shape[1] != len(x):  # nothing learnt yet
            size = float(x @ x) / self._ridge
            return prior * x[-1], np.full(len(prior), size)
        step = self.inverse @ x  # (arms, d)
        mean = (step * self.moment).sum(axis=1) + self._ridge * prior * step[:, -1]
        return mean, np.maximum(step @ x, 0.0)

    def state(self) -> dict[str, Any]:
        """Return the state as arrays."""
        return {
            "weight": self.weight,
            "total": self.total,
            "steps": self._steps,
            "precision": self.precision,
            "inverse": self.inverse,
            "moment": self.moment,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.weight, self.total = state["weight"], state["total"]
        self._steps, self.moment = state["steps"], state["moment"]
        self.precision, self.inverse = state["precision"], state["inverse"]

    def _grow(self, dimension: int) -> None:
        """Append rows of the prior until there is one for each arm, at this dimension."""
        if self.moment.shape[1] != dimension:
            self.moment = np.zeros((0, dimension))
            self.precision = self.inverse = np.zeros((0, dimension, dimension))
        new = len(self.weight) - len(self.moment)
        eye = np.tile(np.eye(dimension), (new, 1, 1))
        self.moment = np.concatenate([self.moment, np.zeros((new, dimension))])
        self.precision = np.concatenate([self.precision, self._ridge * eye])
        self.inverse = np.concatenate([self.inverse, eye / self._ridge])


class LinearPosterior:
    """Quality and cost of every arm, linear in the features of a prompt; latency per arm.

    Parameters
    ----------
    ridge
        Pseudo-observations behind the prior of each coefficient.
    noise
        Variance of one reward around its mean.
    forgetting
        What evidence of an arm keeps from one lesson (of any arm) to the next; 1: everything.

    References
    ----------
    Li, Chu, Langford and Schapire (2010), A contextual-bandit approach to personalized news
    article recommendation (disjoint LinUCB); Agrawal and Goyal (2013), Thompson sampling for
    contextual bandits with linear payoffs.

    Examples
    --------
    >>> from bandit_router.bandits.credit import credit
    >>> posterior = LinearPosterior(ridge=1.0, noise=0.25)
    >>> posterior.set_arm("small", prior=None, cost=0.002)
    >>> x = np.array([0.6, 0.8, 1.0])
    >>> posterior.learn(x, credit("small", [(1.0, 1.0)], 0.001, None).sums, "small")
    >>> belief = posterior.at(x)
    >>> float(belief.quality[0].round(3)), float(belief.cost[0].round(5))
    (0.833, 0.00133)
    """

    def __init__(self, ridge: float, noise: float, forgetting: float = 1.0) -> None:
        self._forgetting = forgetting
        self._lessons = 0
        self._learnt_at = np.zeros(0, dtype=np.int64)
        self.arms: list[str] = []
        self.index: dict[str, int] = {}
        self._noise = noise
        self._quality, self._cost = Ridge(ridge), Ridge(ridge)
        self._prior = np.zeros(0)
        self._list_cost = np.zeros(0)
        self._latency = np.zeros((2, 0))

    def set_arm(self, arm: str, prior: float | None, cost: float | None) -> None:
        """Add an arm or change its priors: mean quality (None: 0.5), US dollars a request."""
        if arm not in self.index:
            self.index[arm] = len(self.arms)
            self.arms.append(arm)
            self._quality.add_arm()
            self._cost.add_arm()
            self._prior, self._list_cost = (np.append(a, 0.0) for a in self._priors)
            self._latency = np.pad(self._latency, ((0, 0), (0, 1)))
            self._learnt_at = np.append(self._learnt_at, self._lessons)
        index = self.index[arm]
        self._prior[index] = 0.5 if prior is None else prior
        self._list_cost[index] = np.nan if cost is None else cost

    def learn(self, x: Array, sums: Sums, arm: str) -> None:
        """Add the `sums` of a credit (negative to take back) to `arm` at `x`."""
        index = self.index[arm]
        self._lessons += 1
        if self._forgetting < 1.0:
            kept = self._forgetting ** (self._lessons - int(self._learnt_at[index]))
            self._quality.fade(index, kept)
            self._cost.fade(index, kept)
            self._learnt_at[index] = self._lessons
        if sums[_W] or sums[_W + 1]:
            self._quality.add(index, x, float(sums[_W]), float(sums[_W + 1]))
        if sums[_CN] or sums[_CN + 1]:
            self._cost.add(index, x, float(sums[_CN]), float(sums[_CN + 1]))
        self._latency[:, index] += sums[_LN : _LN + 2]

    def at(self, x: Array) -> Belief:
        """Return what is believed of every arm at `x`.

        An arm without list price has its mean cost as prior; cost and latency are taken as
        known, so that exploration is for quality alone.
        """
        quality, size = self._quality.predict(x, self._prior)
        prior = self._mean_cost()
        cost, _ = self._cost.predict(x, np.nan_to_num(prior))
        table = np.zeros((SUPPORT + 1, len(self.arms)))
        count, latency = self._latency
        table[MEAN] = quality
        table[VAR] = table[SAMPLING] = self._noise * size
        table[COST] = np.where(np.isfinite(prior), np.maximum(cost, 0.0), np.nan)
        table[LATENCY] = np.where(count > 0, latency / np.maximum(count, 1e-12), np.nan)
        table[EVIDENCE] = table[SUPPORT] = self._quality.weight
        return Belief(table)

    @property
    def means(self) -> tuple[Array, Array]:
        """Mean quality and mean observed cost (nan: none) of each arm over all prompts."""
        weight, total = self._quality.weight, self._quality.total
        count = self._cost.weight
        observed = np.where(count > 0, self._cost.total / np.maximum(count, 1e-12), np.nan)
        return (total + self._prior) / (weight + 1.0), observed

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "arms": list(self.arms),
            "prior": self._prior,
            "list_cost": self._list_cost,
            "latency": self._latency,
            "lessons": self._lessons,
            "learnt_at": self._learnt_at,
            "quality": self._quality.state(),
            "cost": self._cost.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = list(state["arms"])
        self.index = {arm: i for i, arm in enumerate(self.arms)}
        self._prior, self._list_cost = state["prior"], state["list_cost"]
        self._latency = state["latency"]
        self._lessons, self._learnt_at = state["lessons"], state["learnt_at"]
        self._quality.load(state["quality"])
        self._cost.load(state["cost"])

    @property
    def _priors(self) -> tuple[Array, Array]:
        return self._prior, self._list_cost

    def _mean_cost(self) -> Array:
        return np.where(np.isfinite(self._list_cost), self._list_cost, self.means[1])
