"""Posteriors of every arm's quality, cost and latency at every place, with pooled evidence.

The state is nothing but weighted sums per (cluster, arm) at every resolution and for the whole
map; means and variances are derived when they are read. So evidence adds up when clusters
merge, and taking a feedback back is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .belief import Array, Belief
from .credit import C2, CN, LN, ROWS, C, R, W

_PRIOR_WEIGHT = 1.0
_NOISE_WEIGHT = 2.0
_LEAST_NOISE = 0.05
_RATE_STRENGTH = 10.0
_RATE_DOUBT = 0.1  # squared coefficient of variation of a list price or a single bill
# Candidate strengths of the pooling, as multiples of the setting, and the log of how much each
# is believed before any evidence: once or twice the setting, unless the stream says otherwise.
_STRENGTHS = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 32.0])
_LOG_PRIOR = np.array([0.0, 3.0, 3.0, 0.0, -3.0, -6.0])
_REFRESH = 25
_YOUNG = 300
# Prompts choose the arms that are tried on them, so an arm's global mean is less certain than
# as many independent observations would make it; with 1 some seeds lock in on a wrong arm.
_GLOBAL_WIDENING = 3.0
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Foretold:
    """Mean quality and mean cost (nan: unknown) that were believed before an observation."""

    quality: float
    cost: float


@dataclass(frozen=True, slots=True)
class Pooling:
    """How evidence is pooled; pseudo-observations, see `BanditSettings`."""

    strength: float = 20.0
    difficulty_strength: float = 30.0
    exploration: float = 0.05
    sharpening: float = 2.0
    flat: bool = False


class Posterior:
    """Posterior of each arm at each place: global level + difficulty + interaction.

    At the whole map an arm's quality has mean ``(S + prior) / (N + 1)``. At each resolution,
    coarse to fine, the cluster that holds the prompt first moves all arms together, by its
    *difficulty* (the mean residual of everything observed there, shrunk), then each arm by its
    own residual, shrunk with `strength` pseudo-observations: the *interaction*. The variance
    shrinks with the evidence in the same weights, and an unvisited cluster adds no more than
    ``exploration * noise / strength``: a cluster that behaves like its parent costs no extra
    exploration. How strongly to shrink differs from stream to stream: several strengths are kept
    side by side and averaged by how well each has foretold the rewards so far (prequentially, so
    a resolution that only fits noise talks itself down).

    Parameters
    ----------
    levels
        How many resolutions the map has; 0 for a context-free bandit.
    pooling
        Strengths; with ``flat`` every (finest cluster, arm) has a Beta posterior of its own.

    References
    ----------
    Dawid (1984), Present position and potential developments: some personal views, statistical
    theory, the prequential approach; Wan, Ge and Song (2021), Metadata-based multi-task bandits
    with Bayesian hierarchical models, NeurIPS; Efron and Morris (1977) on shrinkage; Breiman and
    Friedman (1985) on backfitting.

    Examples
    --------
    >>> from bandit_router.bandits.credit import credit
    >>> posterior = Posterior(levels=1)
    >>> posterior.set_arm("small", prior=None, cost=None)
    >>> foretold = posterior.learn((1,), credit("small", [(1.0, 1.0)], 0.002, None).sums, "small")
    >>> belief = posterior.at((1,))
    >>> float(belief.quality[0].round(2)), float(belief.cost[0])
    (0.76, 0.002)
    """

    def __init__(self, levels: int, pooling: Pooling | None = None) -> None:
        self.pooling = pooling or Pooling()
        self.arms: list[str] = []
        self.index: dict[str, int] = {}
        self._prior = np.zeros(0)
        self._list_cost = np.zeros(0)
        self._total = np.zeros((ROWS, 0))
        self._levels: list[dict[int, Array]] = [{} for _ in range(levels)]
        self._start = np.zeros((len(_STRENGTHS), 0))
        self._effective = np.zeros((len(_STRENGTHS), 0))
        self._log_weights = _LOG_PRIOR.copy()
        self._learnt = 0

    def set_arm(self, arm: str, prior: float | None, cost: float | None) -> None:
        """Add an arm, or change what is believed of it before any evidence.

        Parameters
        ----------
        prior
            Guess of its mean quality in [0, 1]; None: 0.5.
        cost
            Guess of its cost per request in US dollars, from list prices; None: unknown.
        """
        if arm not in self.index:
            self.index[arm] = len(self.arms)
            self.arms.append(arm)
            grow = ((0, 0), (0, 1))
            self._total = np.pad(self._total, grow)
            for level in self._levels:
                for id_, sums in level.items():
                    level[id_] = np.pad(sums, grow)
            self._prior, self._list_cost = (
                np.append(a, 0.0) for a in (self._prior, self._list_cost)
            )
            self._start, self._effective = (np.pad(a, grow) for a in (self._start, self._effective))
        index = self.index[arm]
        listed = self._list_cost[index]
        if cost and listed > 0 and cost != listed:  # a new price: what was billed scales with it
            self.repriced(arm, cost / listed)
        before = self._prior[index]
        self._prior[index] = 0.5 if prior is None else prior
        self._list_cost[index] = np.nan if cost is None else cost
        if self._levels and self._prior[index] != before:
            self._refit()

    def learn(self, path: Sequence[int], sums: Array, arm: str) -> Foretold:
        """Add the `sums` of a credit (negative to take back) to `arm` along `path`.

        `path` holds live cluster ids, coarsest first; 0 skips a level. Returns what was believed
        of the arm there just before, for those who watch whether it changes.
        """
        index = self.index[arm]
        cells = [level.get(id_) for level, id_ in zip(self._levels, path, strict=True)]
        mean, noise, _, _ = self._chain(cells)
        cost, _ = self._rate(cells, CN, self._list_cost)
        foretold = Foretold(float(self._strength_weights() @ mean[:, index]), float(cost[index]))
        if self._levels and sums[W] > 0:
            # Weigh the candidate strengths by how well each foretold the reward.
            error = float(sums[R] / sums[W]) - mean[:, index]
            weight = min(float(sums[W]), 1.0)
            self._log_weights -= weight * error * error / (2.0 * noise[index])
            self._log_weights -= self._log_weights.max()
        self._total[:, index] += sums
        for level, id_ in zip(self._levels, path, strict=True):
            if id_:
                if id_ not in level:
                    level[id_] = np.zeros((ROWS, len(self.arms)))
                level[id_][:, index] += sums
        self._learnt += 1
        young = self._learnt < _YOUNG or self._total[W, index] < _REFRESH
        if self._levels and (young or self._learnt % _REFRESH == 0):
            self._refit()
        return foretold

    def moved(self, arm: str, by: float, keep: float) -> None:
        """Believe that an arm's quality has changed everywhere by `by`, and be unsure of it.

        Parameters
        ----------
        keep
            Weight of feedback that its evidence is scaled down to, over the whole map.
        """
        index = self.index[arm]
        scale = min(1.0, keep / max(float(self._total[W, index]), 1e-12))
        for sums in (self._total, *(s for level in self._levels for s in level.values())):
            weight, reward, square = sums[:CN, index]
            if weight > 0:
                mean = reward / weight
                spread = max(square / weight - mean * mean, 0.0)
                mean = min(max(mean + by, 0.0), 1.0)
                weight *= scale
                sums[:CN, index] = weight, weight * mean, weight * (mean * mean + spread)
        if self._levels:
            self._refit()

    def repriced(self, arm: str, ratio: float) -> None:
        """Believe that everything an arm is asked costs `ratio` times what it did."""
        index = self.index[arm]
        for sums in (self._total, *(s for level in self._levels for s in level.values())):
            sums[C, index] *= ratio
            sums[C2, index] *= ratio * ratio

    def merge(self, level: int, id_: int, heir: int) -> None:
        """Add the evidence of a dead cluster to its heir; 0 drops it (coarser levels have it)."""
        sums = self._levels[level].pop(id_, None)
        if sums is not None and heir:
            known = self._levels[level].get(heir)
            self._levels[level][heir] = sums if known is None else known + sums

    def inherit(self, other: Posterior) -> None:
        """Take over arms and what is known of the whole map, as when the map is drawn anew."""
        state = other.state()
        levels: list[dict[str, list[Any]]] = [{"ids": [], "sums": []} for _ in self._levels]
        self.load({**state, "levels": levels, "log_weights": _LOG_PRIOR.copy()})
        if self._levels:
            self._start = np.zeros((len(_STRENGTHS), len(self.arms)))
            self._refit()

    def evidence(self, level: int, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        sums = self._levels[level].get(id_)
        return np.zeros(len(self.arms)) if sums is None else np.array(sums[W])

    @property
    def total(self) -> Array:
        """Weight of feedback of each arm in the whole map, shape (arms,)."""
        return np.array(self._total[W])

    def at(self, path: Sequence[int]) -> Belief:
        """Return what is believed of every arm where `path` leads (ids; 0 or unknown: nothing)."""
        cells = [level.get(id_) for level, id_ in zip(self._levels, path, strict=False)]
        finest = cells[-1] if cells else self._total
        evidence = np.zeros(len(self.arms)) if finest is None else finest[W].copy()
        cost, cost_var = self._rate(cells, CN, self._list_cost)
        latency, latency_var = self._rate(cells, LN, np.full(len(self.arms), np.nan))
        if self.pooling.flat:
            return self._flat(finest, cost, cost_var, latency, latency_var, evidence)
        mean, var, sampling = self._quality(cells)
        sharpening = self.pooling.sharpening
        return Belief(
            mean, var, cost, cost_var, latency, latency_var, evidence, sampling, sharpening
        )

    def overall(self) -> tuple[Array, Array]:
        """Return mean quality and mean cost (nan: unknown) over all that was observed."""
        weight, reward = self._total[:2]
        quality = (reward + _PRIOR_WEIGHT * self._prior) / (weight + _PRIOR_WEIGHT)
        count, cost = self._total[CN : C + 1]
        return quality, np.where(count > 0, cost / np.maximum(count, 1.0), self._list_cost)

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "arms": list(self.arms),
            "prior": self._prior,
            "list_cost": self._list_cost,
            "total": self._total,
            "levels": [
                {"ids": sorted(level), "sums": np.array([level[i] for i in sorted(level)])}
                for level in self._levels
            ],
            "start": self._start,
            "effective": self._effective,
            "log_weights": self._log_weights,
            "learnt": self._learnt,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = list(state["arms"])
        self.index = {arm: i for i, arm in enumerate(self.arms)}
        self._prior, self._list_cost = state["prior"], state["list_cost"]
        self._total = state["total"]
        self._start, self._effective = state["start"], state["effective"]
        self._levels = [
            dict(zip(level["ids"], map(np.copy, level["sums"]), strict=True))
            for level in state["levels"]
        ]
        self._log_weights = state["log_weights"]
        self._learnt = state["learnt"]

    def _global(self) -> tuple[Array, Array, Array]:
        """Means and effective evidence, shape (strengths, arms), and noise of one observation."""
        n, s, s2 = self._total[:CN]
        if self._levels:
            mean, effective = self._start, self._effective
        else:
            pooled = (s + _PRIOR_WEIGHT * self._prior) / (n + _PRIOR_WEIGHT)
            mean, effective = pooled[None, :], n[None, :]
        mean = np.clip(mean, 0.0, 1.0)
        # Graded rewards vary less than 0/1 rewards of the same mean: by how much is learnt from
        # all arms at once, since an arm's own few rewards say too little (three zeros in a row
        # have no variance, and must not end its exploration).
        middle = mean[len(mean) // 3]
        bernoulli = np.maximum(middle * (1.0 - middle), _LEAST_NOISE)
        observed = float(np.maximum(s2 - s * s / np.maximum(n, 1e-12), 0.0).sum())
        expected = float((np.maximum(n - 1.0, 0.0) * bernoulli).sum())
        ratio = (_NOISE_WEIGHT + observed) / (_NOISE_WEIGHT + expected)
        return mean, effective, np.minimum(ratio, 1.0) * bernoulli

    def _quality(self, cells: Sequence[Array | None]) -> tuple[Array, Array, Array]:
        """Mean, posterior variance, and the variance to sample with."""
        mean, _, var, sampling = self._chain(cells)
        weight = self._strength_weights()
        middle = weight @ mean
        between = weight @ (mean - middle) ** 2
        sampling = (weight @ sampling + between) / self.pooling.sharpening
        return middle, weight @ var + between, sampling

    def _chain(self, cells: Sequence[Array | None]) -> tuple[Array, Array, Array, Array]:
        """Go from the whole map to the finest cluster, once for each candidate strength.

        Returns
        -------
        tuple
            Means, shape (strengths, arms); observation noise, shape (arms,); posterior
            variances and (unsharpened) variances to sample with, shape (strengths, arms).
        """
        mean, effective, noise = self._global()
        k = self.pooling.strength * _STRENGTHS[: len(mean), None]
        kd = self.pooling.difficulty_strength
        var = noise / (effective + _PRIOR_WEIGHT)
        sampling = var * (_GLOBAL_WIDENING if self._levels else self.pooling.sharpening)
        unknown = self.pooling.exploration * noise
        for cell in cells:
            if cell is None:
                var, sampling = var + noise / k, sampling + unknown / k
                continue
            n, s = cell[W], cell[R]
            base = mean + (s - n * mean).sum(axis=1, keepdims=True) / (n.sum() + kd)
            mean = base + (s - n * base) / (n + k)
            kept = (k / (n + k)) ** 2
            var = kept * var + noise / (n + k)
            sampling = kept * sampling + unknown / (n + k)
        return mean, noise, var, sampling

    def _strength_weights(self) -> Array:
        if not self._levels:
            return np.ones(1)
        weight: Array = np.exp(self._log_weights - self._log_weights.max())
        weight /= weight.sum()
        return weight

    def _rate(self, cells: Sequence[Array | None], row: int, listed: Array) -> tuple[Array, Array]:
        """Mean and variance of each arm's mean cost (or latency): a multiplicative hierarchy.

        A place scales all arms together (long prompts cost more everywhere), then each arm has
        a residual of its own. `listed` is the guess before any evidence.
        """
        count, total, square = self._total[row : row + 3]
        if not count.any():
            return listed, _RATE_DOUBT * listed * listed
        guess = np.where(np.isfinite(listed), listed, total.sum() / count.sum())
        mean = np.where(count > 0, total / np.maximum(count, 1.0), guess)
        spread = np.maximum(square / np.maximum(count, 1.0) - mean * mean, 0.0)
        doubt = _RATE_DOUBT * mean * mean
        var = np.where(count > 0, (spread + doubt) / (count + 1), doubt)
        for cell in cells:
            if cell is None:
                continue
            n, s = cell[row], cell[row + 1]
            typical = float(np.nansum(mean * count) / count.sum())
            expected = float((n * np.where(n > 0, mean, 0.0)).sum())
            pseudo = _RATE_STRENGTH * typical
            scale = (float(s.sum()) + pseudo) / (expected + pseudo) if expected + pseudo else 1.0
            base = mean * scale
            mean = base + (s - n * np.where(n > 0, base, 0.0)) / (n + _RATE_STRENGTH)
        return mean, var

    def _flat(
        self,
        finest: Array | None,
        cost: Array,
        cost_var: Array,
        latency: Array,
        latency_var: Array,
        evidence: Array,
    ) -> Belief:
        n, s = (np.zeros(len(self.arms)),) * 2 if finest is None else (finest[W], finest[R])
        prior = 2.0 * np.clip(self._prior, 0.01, 0.99)
        beta = np.stack([s + prior, np.maximum(n - s, 0.0) + 2.0 - prior])
        size = beta.sum(axis=0)
        mean = beta[0] / size
        var = mean * (1 - mean) / (size + 1)
        return Belief(mean, var, cost, cost_var, latency, latency_var, evidence, var, beta=beta)

    def _refit(self) -> None:
        """Fit each arm's global mean again, from what it is in each of the coarsest clusters.

        A cluster counts with ``N k / (N + k)`` observations, never more than the strength k:
        what many prompts of one kind say of an arm says little of the next kind. The clusters'
        difficulties are taken out (backfitting), since a good router sends the hard prompts to
        its best arm, which would otherwise be blamed for them.
        """
        cells = [self._levels[0][i] for i in sorted(self._levels[0])]
        rest = self._total - sum(cells) if cells else self._total  # what no live cluster holds
        both = np.stack([*cells, rest])
        N, S = np.maximum(both[:, W], 0.0), both[:, R]  # (clusters, arms)
        k = self.pooling.strength * _STRENGTHS[:, None, None]
        weight = N * k / (N + k)  # (strengths, clusters, arms)
        scale = np.where(N > 0, weight / np.maximum(N, 1e-12), 0.0)
        size = N.sum(axis=1) + self.pooling.difficulty_strength
        mean = self._start
        self._effective = weight.sum(axis=1)
        for _ in range(_ROUNDS):
            difficulty = (S - N * mean[:, None, :]).sum(axis=2) / size
            difficulty[:, -1] = 0.0
            fitted = (scale * S - weight * difficulty[:, :, None]).sum(axis=1)
            mean = (fitted + _PRIOR_WEIGHT * self._prior) / (self._effective + _PRIOR_WEIGHT)
        self._start = mean
