"""Posteriors of every arm's quality, cost and latency at every place, with pooled evidence.

The state is nothing but weighted sums, per (cluster, arm) at every resolution and for the whole
map; means and variances are derived when they are read. So evidence adds up when clusters
merge, and taking a feedback back is exact, unless its arm has changed since (see `moved`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clustering import Surroundings
from .adjusted import AdjustedLevels
from .belief import Array, Belief
from .cells import Cells
from .credit import C2, CN, LN, ROWS, C, R, W, settled
from .priors import Priors
from .rates import rates

_PRIOR_WEIGHT = 1.0  # of an arm's prior, where there is no map
_NOISE_WEIGHT = 2.0
_LEAST_NOISE = 0.05
_COORDINATES = 32  # the most that difficulty is linear in
# Candidate strengths of the pooling, as multiples of the setting, and the log of how much each
# is believed before any evidence: once or twice the setting, unless the stream says otherwise.
_STRENGTHS = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 32.0])
_LOG_PRIOR = np.array([0.0, 3.0, 3.0, 0.0, -3.0, -6.0])
_REFRESH = 10
_YOUNG = 300
_FEW = 25
# Variances to sample with, before sharpening, in units of noise / evidence: for the level of an
# arm, for what is particular to a place, and what each grows by with the logarithm of how far
# an arm has been tried less than its share. Without the logarithm some streams abandon, for
# ten thousands of prompts, an arm that had bad luck in its first twenty.
_WIDTH, _WIDTH_LOG = 1.0, 0.5
_WIDTH_YOUNG, _CHILDHOOD = 4.0, 20.0  # an arm hardly tried is sampled as widely as it is known
_WIDTH_HERE = 0.05
# What a place may differ by from what its surroundings say, over what pooling at the strength
# that foretells best would have it: so intervals hold the truth about as often as they say where an
# arm was tried, and less often where it hardly was (see ``simulations/intervals.py``).
_DOUBT_HERE = 1.6


@dataclass(frozen=True, slots=True)
class Foretold:
    """Mean quality and mean cost that were believed before an observation.

    The cost is nan where it was unknown, or no cost was observed.
    """

    quality: float
    cost: float


@dataclass(frozen=True, slots=True)
class Pooling:
    """How evidence is pooled; pseudo-observations, see `BanditSettings`."""

    strength: float = 20.0
    difficulty_strength: float = 30.0
    exploration: float = 0.2
    sharpening: float = 4.0
    flat: bool = False


@dataclass(frozen=True, slots=True)
class _Chain:
    """What the candidate strengths say of every arm at a place.

    `mean`, `var` and `sampling` have shape (strengths, arms); variances are in units of `noise`,
    the variance of one reward around its mean, shape (arms,). `sampling` is not yet sharpened.
    """

    mean: Array
    var: Array
    sampling: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class _Around:
    """What the clusters of one level around a prompt hold; see `Near` and `Cells.look`."""

    kernel: Array
    sums: Array
    places: Array


class Posterior:
    """Posterior of each arm at each place: level + difficulty + interaction.

    Over the whole map an arm has a level, adjusted for the prompts that it was tried on (see
    `AdjustedLevels`; without a map, its plain mean). At each resolution, coarse to fine, the
    clusters around the prompt first move all arms together, by their *difficulty* (the mean
    residual of everything observed there, shrunk), then each arm by its own residual, shrunk with
    `strength` pseudo-observations: the *interaction*. Clusters count by nearness (`Near.kernel`),
    so that a border between two of them is no border of what is known.

    How strongly to shrink differs from stream to stream: several strengths are kept side by side
    and averaged by how well each has foretold the rewards so far (prequentially, so a resolution
    that only fits noise talks itself down).

    Quality is sampled more narrowly than it is known, since most arms are not worth finding out
    about exactly; but the less an arm was tried beside its share of the traffic, in the whole
    map or around here, the wider: by ``log(1 + N / (arms (n + 1)))``, as minimax optimal bandits
    scale their bonus, so that bad luck in the first few trials is found out.

    Parameters
    ----------
    levels
        How many resolutions the map has; 0 for a context-free bandit.
    pooling
        Strengths; with ``flat`` every (finest cluster, arm) has a Beta posterior of its own.

    References
    ----------
    Dawid (1984), Present position and potential developments: some personal views, statistical
    theory, the prequential approach; Efron and Morris (1977) on shrinkage; Wan, Ge and Song
    (2021), Metadata-based multi-task bandits with Bayesian hierarchical models, NeurIPS; Nadaraya
    (1964), On estimating regression, for the kernel; Audibert and Bubeck (2009), Minimax
    policies for adversarial and stochastic bandits, for the logarithm.

    Examples
    --------
    >>> from bandit_router.bandits.credit import credit
    >>> posterior = Posterior(levels=1)
    >>> posterior.set_arm("small", prior=None, cost=None)
    >>> here = Surroundings.inside((1,))
    >>> seen = credit("small", [(1.0, 1.0)], 0.002, None)
    >>> foretold = posterior.learn(here, (1,), seen.sums, "small")
    >>> belief = posterior.at(here)
    >>> float(belief.quality[0].round(2)), float(belief.cost[0])
    (0.67, 0.002)
    """

    def __init__(self, levels: int, pooling: Pooling | None = None) -> None:
        self.pooling = pooling or Pooling()
        self.arms: list[str] = []
        self.index: dict[str, int] = {}
        self._priors = Priors()
        self._active = np.zeros(0, dtype=bool)
        self._total = np.zeros((ROWS, 0))
        self._levels = [Cells() for _ in range(levels)]
        self._adjusted = AdjustedLevels()
        self._log_weights = _LOG_PRIOR.copy()
        self._learnt = 0
        self._derive()

    def set_arm(
        self, arm: str, prior: float | None, cost: float | None, like: str | None = None
    ) -> None:
        """Add an arm, or change what is believed of it before any evidence.

        Parameters
        ----------
        prior
            Guess of its mean quality in [0, 1]; None: see `Priors`.
        cost
            Guess of its cost per request in US dollars, from list prices; None: unknown.
        like
            An arm that it is expected to be like, where no prior is given: it takes that arm's
            level, and its interactions, as far as it has none of its own.
        """
        if arm not in self.index:
            self.index[arm] = len(self.arms)
            self.arms.append(arm)
            self._total = np.pad(self._total, ((0, 0), (0, 1)))
            for level in self._levels:
                level.add_arm()
            self._adjusted.add_arm()
            self._priors.add_arm()
            self._active = np.append(self._active, True)
        index = self.index[arm]
        self._active[index] = True
        listed = self._priors.cost[index]
        if cost and listed > 0 and cost != listed:  # a new price: what was billed scales with it
            self.repriced(arm, cost / listed)
        self._priors.set(index, prior, cost, like)
        if len(self._prior) < len(self.arms) or (self._prior != self._guess()).any():
            self._refit()

    def retire(self, arm: str) -> None:
        """No longer count an arm among those that share the traffic; its evidence stays."""
        self._active[self.index[arm]] = False

    def learn(
        self,
        here: Surroundings,
        path: Sequence[int],
        sums: Array,
        arm: str,
        fresh: bool = True,
    ) -> Foretold:
        """Add the `sums` of a credit (negative to take back) to `arm` along `path`.

        Parameters
        ----------
        here
            Where the prompt lies now: what is believed there is what foretells the reward.
        path
            Live cluster ids that are credited, coarsest first; 0 skips a level.
        fresh
            Whether it is the first that is heard of a decision's quality: then the candidate
            strengths are weighed by it.

        Returns
        -------
        Foretold
            What was believed of the arm there just before, for those who watch whether it changes.
        """
        index = self.index[arm]
        z = _coordinates(here.z)
        around = self._look(here)
        chain = self._chain(z, around)
        quality = float(self._strength_weights() @ chain.mean[:, index])
        cost = self._rate(around, CN, self._priors.cost)[0][index] if sums[CN] else np.nan
        foretold = Foretold(quality, float(cost))
        if self._levels and fresh and sums[W] > 0:
            # Weigh the candidate strengths by how well each foretold the reward.
            error = float(sums[R] / sums[W]) - chain.mean[:, index]
            weight = min(float(sums[W]), 1.0)
            self._log_weights -= weight * error * error / (2.0 * chain.noise[index])
            self._log_weights -= self._log_weights.max()
        self._total[:, index] += sums
        sound = settled(self._total[:, index])
        for level, id_ in zip(self._levels, path, strict=True):
            if id_:
                level.add(id_, index, sums, z)
        if self._levels:
            self._adjusted.add(index, sums, z)
            if not sound:
                self._adjusted.only_level(index, self._total[:, index])
        self._learnt += 1
        young = self._learnt < _YOUNG or self._total[W, index] < _FEW
        if young or self._learnt % _REFRESH == 0:
            self._refit()
        else:
            self._noise = self._noises()
        return foretold

    def moved(self, arm: str, by: float, keep: float) -> None:
        """Believe that an arm's quality has changed everywhere by `by`, and be unsure of it.

        Means stay in [0, 1].

        Parameters
        ----------
        keep
            Weight of feedback that its evidence is scaled down to, over the whole map.
        """
        index = self.index[arm]
        weight, reward = self._total[:2, index]
        scale = min(1.0, keep / max(float(weight), 1e-12))
        before = reward / weight if weight > 0 else 0.0
        shift = min(max(before + by, 0.0), 1.0) - before  # of the mean, over the whole map
        for sums in (self._total[:, index], *(r for c in self._levels for r in c.of_arm(index))):
            weight, reward, square = sums[:CN]
            if weight > 0:
                mean = reward / weight
                spread = max(square / weight - mean * mean, 0.0)
                mean = min(max(mean + by, 0.0), 1.0)
                weight *= scale
                sums[:CN] = weight, weight * mean, weight * (mean * mean + spread)
        if self._levels:
            self._adjusted.moved(index, float(shift), scale)
        self._refit()

    def repriced(self, arm: str, ratio: float) -> None:
        """Believe that everything an arm is asked costs `ratio` times what it did."""
        index = self.index[arm]
        for sums in (self._total[:, index], *(c.of_arm(index).T for c in self._levels)):
            sums[C] *= ratio
            sums[C2] *= ratio * ratio

    def merge(self, level: int, id_: int, heir: int) -> None:
        """Add the evidence of a dead cluster to its heir; 0 drops it (coarser levels have it)."""
        self._levels[level].merge(id_, heir)

    def inherit(self, other: Posterior) -> None:
        """Take over arms and what is known of the whole map, as when the map is drawn anew."""
        levels = len(self._levels)
        self.load({**other.state(), "levels": [], "log_weights": _LOG_PRIOR.copy()})
        self._levels = [Cells() for _ in range(levels)]
        for cells in self._levels:
            for _ in self.arms:
                cells.add_arm()
        self._adjusted.placeless(self._total[W], self._total[R])
        self._refit()

    def evidence(self, level: int, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        return self._levels[level].evidence(id_)

    @property
    def total(self) -> Array:
        """Weight of feedback of each arm in the whole map, shape (arms,)."""
        return np.array(self._total[W])

    def at(self, here: Surroundings) -> Belief:
        """Return what is believed of every arm at a place."""
        around = self._look(here)
        cost, cost_var = self._rate(around, CN, self._priors.cost)
        latency, latency_var = self._rate(around, LN, np.full(len(self.arms), np.nan))
        support = np.stack([self._total[W], *(a.kernel @ a.sums[:, W] for a in around)])
        path = zip(self._levels, here.path, strict=True)
        held = [level.evidence(id_) for level, id_ in path if id_]
        evidence = held[-1] if held else support[0]
        rest = {
            "cost": cost,
            "cost_var": cost_var,
            "latency": latency,
            "latency_var": latency_var,
            "evidence": evidence,
            "support": support,
        }
        if self.pooling.flat:
            return self._flat(here, rest)
        chain = self._chain(_coordinates(here.z), around)
        weight = self._strength_weights()
        mean = weight @ chain.mean
        between = weight @ (chain.mean - mean) ** 2
        return Belief(
            quality=mean,
            quality_var=chain.noise * (weight @ chain.var) + between,
            sampling_var=(chain.noise * (weight @ chain.sampling) + between) / self._sharpening,
            sharpening=self._sharpening,
            **rest,
        )

    def overall(self) -> tuple[Array, Array]:
        """Return mean quality and mean cost (nan: unknown) over all that was observed."""
        weight, reward = self._total[:2]
        quality = (reward + _PRIOR_WEIGHT * self._prior) / (weight + _PRIOR_WEIGHT)
        count, cost = self._total[CN : C + 1]
        return quality, np.where(count > 0, cost / np.maximum(count, 1.0), self._priors.cost)

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "arms": list(self.arms),
            "priors": self._priors.state(),
            "active": self._active,
            "prior": self._prior,
            "total": self._total,
            "levels": [level.state() for level in self._levels],
            "adjusted": self._adjusted.state(),
            "log_weights": self._log_weights,
            "learnt": self._learnt,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = list(state["arms"])
        self.index = {arm: i for i, arm in enumerate(self.arms)}
        self._priors.load(state["priors"])
        self._active, self._total = state["active"], state["total"]
        self._adjusted.load(state["adjusted"])
        for level, inner in zip(self._levels, state["levels"], strict=False):
            level.load(inner)
        self._log_weights = state["log_weights"]
        self._learnt = state["learnt"]
        self._prior = state["prior"]
        self._noise = self._noises()

    @property
    def _sharpening(self) -> float:
        return self.pooling.sharpening if self._levels else 1.0

    def _guess(self) -> Array:
        """Each arm's prior mean quality, shape (arms,)."""
        weight, reward = self._total[:2]
        plain = reward / np.maximum(weight, _PRIOR_WEIGHT)
        level = self._adjusted.levels if self._levels else plain
        return self._priors.quality(self.index, weight, level)

    def _noises(self) -> Array:
        """Variance of one reward of each arm around its mean, shape (arms,).

        Graded rewards vary less than 0/1 rewards of the same mean: by how much is learnt from
        all arms at once, since an arm's own few rewards say too little (three zeros in a row
        have no variance, and must not end its exploration).
        """
        n, s, s2 = self._total[:CN]
        middle = np.clip((s + _PRIOR_WEIGHT * self._prior) / (n + _PRIOR_WEIGHT), 0.0, 1.0)
        bernoulli = np.maximum(middle * (1.0 - middle), _LEAST_NOISE)
        observed = float(np.maximum(s2 - s * s / np.maximum(n, 1e-12), 0.0).sum())
        expected = float((np.maximum(n - 1.0, 0.0) * bernoulli).sum())
        ratio = (_NOISE_WEIGHT + observed) / (_NOISE_WEIGHT + expected)
        noise: Array = min(ratio, 1.0) * bernoulli
        return noise

    def _look(self, here: Surroundings) -> list[_Around]:
        return [
            _Around(near.kernel, *cells.look(near.ids))
            for cells, near in zip(self._levels, here.near, strict=True)
        ]

    def _chain(self, z: Array, around: Sequence[_Around]) -> _Chain:
        """Go from the whole map to the finest clusters, once for each candidate strength."""
        noise = self._noise
        n, s = self._total[: R + 1]
        if not self._levels:
            mean = (s + _PRIOR_WEIGHT * self._prior) / (n + _PRIOR_WEIGHT)
            var = 1.0 / (n + _PRIOR_WEIGHT)
            return _Chain(mean[None], var[None], var[None], noise)
        difficulty = self._adjusted.difficulty(z)
        level = self._adjusted.levels + difficulty
        k = self.pooling.strength * _STRENGTHS[:, None]
        beside = np.zeros((len(k), len(level)))  # of the mean, beside the level
        var = 1.0 / (n + self._adjusted.lambdas)
        wide = _WIDTH + _WIDTH_YOUNG * _CHILDHOOD / (_CHILDHOOD + n)
        sampling = (wide + _WIDTH_LOG * _shortfall(n, self._active)) * var
        kin = self._priors.kin(self.index)
        for near in around:
            weight, kernel = near.sums[:, W], near.kernel
            easier = self._adjusted.difficulties(near.places) - difficulty
            residual = near.sums[:, R] - weight * (level + easier[:, None])  # (clusters, arms)
            shared = residual.sum(axis=1) - beside @ weight.T  # (strengths, clusters)
            shared /= weight.sum(axis=1) + self.pooling.difficulty_strength
            counted = kernel[:, None] * weight
            here = counted.sum(axis=0)
            own: Array = kernel @ residual - here * beside - shared @ counted
            size = here + k
            own /= size
            if kin is not None:
                own += np.where(kin == np.arange(len(kin)), 0.0, (k / size) * own[:, kin])
            beside = beside + (shared @ kernel / max(kernel.sum(), 1.0))[:, None] + own
            # Neighbours are not here: for what is known they count less than for a guess.
            known = kernel * kernel @ weight + k
            var = (k / known) ** 2 * var + _DOUBT_HERE / known
            short = _shortfall(here, self._active)
            sampling = sampling + (_WIDTH_HERE + self.pooling.exploration * short) / size
        return _Chain(level + beside, var, sampling, noise)

    def _strength_weights(self) -> Array:
        if not self._levels:
            return np.ones(1)
        weight: Array = np.exp(self._log_weights - self._log_weights.max())
        weight /= weight.sum()
        return weight

    def _rate(self, around: Sequence[_Around], row: int, listed: Array) -> tuple[Array, Array]:
        near = [(a.kernel @ a.sums[:, row], a.kernel @ a.sums[:, row + 1]) for a in around]
        return rates(self._total[row : row + 3], near, listed)

    def _flat(self, here: Surroundings, rest: dict[str, Any]) -> Belief:
        held = [(level, id_) for level, id_ in zip(self._levels, here.path, strict=True) if id_]
        finest = held[-1][0].inside(held[-1][1]) if held else self._total
        n, s = (np.zeros(len(self.arms)),) * 2 if finest is None else (finest[W], finest[R])
        prior = 2.0 * np.clip(self._prior, 0.01, 0.99)
        beta = np.stack([s + prior, np.maximum(n - s, 0.0) + 2.0 - prior])
        size = beta.sum(axis=0)
        mean = beta[0] / size
        var = mean * (1 - mean) / (size + 1)
        return Belief(quality=mean, quality_var=var, sampling_var=var, beta=beta, **rest)

    def _derive(self) -> None:
        """Work out again what follows from the state."""
        self._prior = self._guess()
        self._noise = self._noises()

    def _refit(self) -> None:
        self._derive()
        if self._levels:
            self._adjusted.fit(self._prior, self._noise)


def _shortfall(n: Array, active: NDArray[np.bool_]) -> Array:
    """Return ``log(1 + N / (arms (n + 1)))``: how far each arm was tried less than its share."""
    share = float(n[active].sum()) / max(int(active.sum()), 1)
    out: Array = np.log1p(share / (n + 1.0))
    return out


def _coordinates(z: Array) -> Array:
    """Return what difficulty is linear in: a place, in 32 dimensions at the most."""
    return z if len(z) <= _COORDINATES else _folding(len(z)) @ z


@cache
def _folding(dimension: int) -> Array:
    """Return a fixed random projection (Johnson and Lindenstrauss, 1984), (32, dimension)."""
    rng = np.random.default_rng(dimension)
    out: Array = rng.standard_normal((_COORDINATES, dimension)) / np.sqrt(_COORDINATES)
    return out
