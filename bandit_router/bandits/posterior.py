"""Posteriors of every arm's quality, cost and latency at every place, with pooled evidence.

What was observed is held as weighted sums, per (cluster, arm) at every resolution and for the
whole map; means and variances are derived when they are read. So evidence adds up when clusters
merge, and taking a feedback back is exact, unless its arm has changed since (see `moved`). Beside
the sums stands what is solved from them now and then (levels, difficulty, tilts), and how well each
way of pooling has foretold, which is never taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
import numpy as np

from ..clustering import Surroundings, finest
from ..clustering.surroundings import parts
from .adjusted import AdjustedLevels
from .belief import COST, MEAN, SAMPLING, SUPPORT, VAR, Array, Belief
from .cells import Cells
from .credit import C2, CN, LN, ROWS, C, R, Sums, W, added
from .learning import learn, noises
from .pooled import Widths, believe
from .priors import Priors
from .rates import dearest, mean_costs, rates

_PRIOR_WEIGHT = 1.0  # of an arm's prior, where there is no map
_COORDINATES = 32  # the most that difficulty is linear in
_AS_IT_IS = np.zeros((0, 0))  # no folding
# Candidate strengths of the pooling, as multiples of the setting, and the log of how much each
# is believed before any evidence: once or twice the setting, unless the stream says otherwise.
# The last is of the tilts: so strong that no cluster moves an arm away from its own.
_STRENGTHS = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 32.0, 1e9])
_LOG_PRIOR = np.array([0.0, 3.0, 3.0, 0.0, -3.0, -6.0, 3.0])
_REFRESH = 10
_YOUNG = 300
_FEW = 25
# Without the logarithms some streams abandon, for ten thousands of prompts, an arm that had bad
# luck in its first twenty. The doubt lets intervals hold the truth about as often as they say
# where an arm was tried, and less often where it hardly was (see ``simulations/intervals.py``).
_WIDTHS = Widths(
    level=1.0,
    untried=0.5,
    young=4.0,
    childhood=20.0,
    place=0.05,
    untried_here=0.2,
    doubt=1.6,
    tilt=0.4,
)


class Foretold(msgspec.Struct, frozen=True, gc=False):
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


class Posterior:
    """Posterior of each arm at each place: level + difficulty + interaction.

    Over the whole map an arm has a level, adjusted for the prompts that it was tried on (see
    `AdjustedLevels`; without a map, its plain mean). At each resolution, coarse to fine, the
    clusters around the prompt first move all arms together, by their *difficulty* (the mean
    residual of everything observed there, shrunk), then each arm by its own residual, shrunk with
    `strength` pseudo-observations: the *interaction*. Clusters count by their `kernel`, so that a
    border between two of them is no border of what is known; see `pooled.believe`.

    How strongly to shrink differs from stream to stream: several strengths are kept side by side
    and averaged by how well each has foretold the rewards so far (prequentially, so a resolution
    that only fits noise talks itself down). Beside them is a *tilt*: what is linear in the place,
    as linear bandits believe, of which no cluster has to be born first. It speaks where prompts
    of a kind are few or the map is one place to them, and is seldom believed for long.

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
    (0.66, 0.002)
    """

    def __init__(self, levels: int, pooling: Pooling | None = None) -> None:
        self.tune(pooling or Pooling())
        self.arms: tuple[str, ...] = ()
        self.index: dict[str, int] = {}
        self._priors = Priors()
        self._dearest: float | None = None  # None: to be worked out
        self._active = np.zeros(0, dtype=bool)
        self._total = np.zeros((ROWS, 0))
        self._levels = levels
        self._noise = np.zeros(0)
        self._cells = Cells()
        self._adjusted = AdjustedLevels()
        self._log_weights = _LOG_PRIOR.copy()
        self._learnt = 0
        self._weights = _weights(_LOG_PRIOR)
        self._prior = self._guess()
        self._suppose()

    def tune(self, pooling: Pooling) -> None:
        """Pool in another way; what was learnt stays."""
        self.pooling = pooling
        self._strengths = pooling.strength * _STRENGTHS
        self._widths = replace(_WIDTHS, untried_here=pooling.exploration).array()

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
            self.arms = (*self.arms, arm)
            self._total = np.pad(self._total, ((0, 0), (0, 1)))
            self._cells.add_arm()
            self._adjusted.add_arm()
            self._priors.add_arm()
            self._active = np.append(self._active, True)
        index = self.index[arm]
        self._active[index] = True
        listed = self._priors.cost[index]
        if cost and listed > 0 and cost != listed:  # a new price: what was billed scales with it
            self.repriced(arm, cost / listed)
        self._priors.set(index, prior, cost, like)
        self._dearest = None
        if len(self._prior) < len(self.arms) or (self._prior != self._guess()).any():
            self._refit()

    def retire(self, arm: str) -> None:
        """No longer count an arm among those that share the traffic; its evidence stays."""
        self._active[self.index[arm]] = False

    def learn(
        self,
        here: Surroundings,
        path: Sequence[int],
        sums: Sums,
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
        index, adjusted = self.index[arm], self._adjusted
        before = self._total.item(W, index)
        moves = any(sums[:CN])  # a bill or a latency alone moves no level
        if sums[CN] or sums[C]:
            self._dearest = None
        if self._levels:
            dimension = min(here.dimension, _COORDINATES)
            self._cells.make_room(path, dimension if sums[W] else None)
            adjusted.make_room(dimension if moves else 0)
            quality, foretold_cost, sound = learn(
                sums,
                index,
                tuple(path),
                fresh,
                sums[CN] != 0.0,
                self._log_weights,
                self._prior,
                self._noise,
                adjusted.gram,
                adjusted.seen,
                adjusted.moment,
                *self._evidence(here),
            )
            foretold = Foretold(quality, foretold_cost)
        else:
            foretold, sound = self._learn_placeless(here, sums, index)
        if sound and not moves:
            return foretold
        if self._levels and not sound:
            adjusted.make_room(min(here.dimension, _COORDINATES))
            adjusted.only_level(index, self._total[:, index])
        self._learnt += 1
        now = self._total.item(W, index)
        young = self._learnt < _YOUNG or now < _FEW
        if young or self._learnt % _REFRESH == 0:
            self._refit()
        if self._levels and (young or not sound or before // _REFRESH != now // _REFRESH):
            adjusted.tilt(index)
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
        for sums in (self._total[:, index], *self._cells.of_arm(index)):
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
        if self._levels:
            self._adjusted.tilt(index)

    def repriced(self, arm: str, ratio: float) -> None:
        """Believe that everything an arm is asked costs `ratio` times what it did."""
        index = self.index[arm]
        for sums in (self._total[:, index], self._cells.of_arm(index).T):
            sums[C] *= ratio
            sums[C2] *= ratio * ratio
        self._dearest = None

    def merge(self, id_: int, heir: int) -> None:
        """Add the evidence of a dead cluster to its heir; 0 drops it (coarser levels have it)."""
        self._cells.merge(id_, heir)

    def inherit(self, other: Posterior) -> None:
        """Take over arms and what is known of the whole map, as when the map is drawn anew."""
        unsure = {"log_weights": _LOG_PRIOR.copy(), "weights": _weights(_LOG_PRIOR)}
        self.load({**other.state(), **unsure})
        self._cells = Cells()
        for _ in self.arms:
            self._cells.add_arm()
        self._adjusted.placeless(self._total[W], self._total[R])
        self._refit()

    def evidence(self, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        return self._cells.evidence(id_)

    @property
    def total(self) -> Array:
        """Weight of feedback of each arm in the whole map, shape (arms,)."""
        return np.array(self._total[W])

    def at(self, here: Surroundings) -> Belief:
        """Return what is believed of every arm at a place."""
        if not self._levels:
            belief = Belief(self._placeless(here))
        else:
            table = np.empty((SUPPORT + 1 + self._levels, len(self.arms)))
            believe(
                table,
                self._adjusted.lambdas,
                self._noise,
                self._active,
                self._widths,
                self.pooling.sharpening,
                *self._evidence(here),
            )
            belief = Belief(table, self.pooling.sharpening)
        return self._flat(finest(here.path), belief) if self.pooling.flat else belief

    def overall(self) -> tuple[Array, Array]:
        """Return mean quality and mean cost (nan: unknown) over all that was observed."""
        weight, reward = self._total[:2]
        quality = (reward + _PRIOR_WEIGHT * self._prior) / (weight + _PRIOR_WEIGHT)
        return quality, self.costs()

    def costs(self) -> Array:
        """Return each arm's mean cost over all that was observed (nan: unknown), (arms,)."""
        return mean_costs(self._total, self._priors.cost)

    def dearest(self) -> float:
        """Return the highest of these costs, 0 if none is known."""
        if self._dearest is None:
            self._dearest = dearest(self._total, self._priors.cost)
        return self._dearest

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "arms": list(self.arms),
            "priors": self._priors.state(),
            "active": self._active,
            "prior": self._prior,
            "total": self._total,
            "cells": self._cells.state(),
            "adjusted": self._adjusted.state(),
            "log_weights": self._log_weights,
            "weights": self._weights,
            "learnt": self._learnt,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = tuple(state["arms"])
        self.index = {arm: i for i, arm in enumerate(self.arms)}
        self._priors.load(state["priors"])
        self._active, self._total = state["active"], state["total"]
        self._adjusted.load(state["adjusted"])
        self._cells.load(state["cells"])
        self._log_weights = state["log_weights"]
        self._learnt = state["learnt"]
        self._weights = state["weights"]
        self._prior = state["prior"]
        self._dearest = None
        self._suppose()

    def _guess(self) -> Array:
        """Each arm's prior mean quality, shape (arms,)."""
        weight, reward = self._total[:2]
        plain = reward / np.maximum(weight, _PRIOR_WEIGHT)
        level = self._adjusted.levels if self._levels else plain
        return self._priors.quality(self.index, weight, level)

    def _learn_placeless(self, here: Surroundings, sums: Sums, index: int) -> tuple[Foretold, bool]:
        believed = self._placeless(here)
        cost = float(believed[COST, index]) if sums[CN] else np.nan
        sound = added(self._total[:, index], sums)
        noises(self._total, self._prior, self._noise)
        return Foretold(float(believed[MEAN, index]), cost), sound

    def _evidence(self, here: Surroundings) -> tuple[Any, ...]:
        """Return what `believe` and `learn` both end with."""
        adjusted, cells, dimension = self._adjusted, self._cells, here.dimension
        return (
            self._total,
            self._priors.cost,
            adjusted.levels,
            self._kin,
            cells.sums,
            cells.places,
            cells.row_of,
            here.words,
            adjusted.seen,
            _folding(dimension) if dimension > _COORDINATES else _AS_IT_IS,
            adjusted.slope,
            adjusted.tilts,
            self._strengths,
            self._weights,
            self.pooling.difficulty_strength,
        )

    def _placeless(self, here: Surroundings) -> Array:
        """Return the table of a `Belief` without a map: an arm's level is its mean."""
        n, s = self._total[W], self._total[R]
        starts, rows, kernel, _ = parts(here.words)  # none are around
        mean = (s + _PRIOR_WEIGHT * self._prior) / (n + _PRIOR_WEIGHT)
        var = self._noise / (n + _PRIOR_WEIGHT)
        unlisted = np.full(len(n), np.nan)
        sums = self._cells.sums
        cost = rates(self._total, self._priors.cost, CN, sums, rows, kernel, starts)
        latency = rates(self._total, unlisted, LN, sums, rows, kernel, starts)
        return np.stack([mean, var, var, *cost, *latency, n, n])

    def _flat(self, held: int, belief: Belief) -> Belief:
        """Give every (finest cluster, arm) a Beta posterior of its own."""
        finest = self._cells.inside(held) if held else self._total
        n, s = finest[W], finest[R]
        prior = 2.0 * np.clip(self._prior, 0.01, 0.99)
        beta = np.stack([s + prior, np.maximum(n - s, 0.0) + 2.0 - prior])
        size = beta.sum(axis=0)
        mean = beta[0] / size
        var = mean * (1 - mean) / (size + 1)
        table = belief.table.copy()
        table[MEAN], table[VAR], table[SAMPLING] = mean, var, var
        return Belief(table, beta=beta)

    def _suppose(self) -> None:
        """Work out again what follows from evidence and priors."""
        self._noise = np.empty(len(self.arms))
        noises(self._total, self._prior, self._noise)
        kin = self._priors.kin(self.index)
        self._kin = np.arange(len(self.arms)) if kin is None else np.array(kin, np.int64)

    def _refit(self) -> None:
        self._prior = self._guess()
        self._suppose()
        if self._levels:
            self._adjusted.fit(self._prior, self._noise)


def _weights(log_weights: Array) -> Array:
    weights: Array = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


@cache
def _folding(dimension: int) -> Array:
    """Return a fixed random projection (Johnson and Lindenstrauss, 1984), (32, dimension)."""
    rng = np.random.default_rng(dimension)
    out: Array = rng.standard_normal((_COORDINATES, dimension)) / np.sqrt(_COORDINATES)
    return out
