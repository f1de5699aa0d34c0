"""Posteriors of every arm's quality, cost and latency at every place, with pooled evidence.

What was observed is held as weighted sums, per (cluster, arm) at every resolution and for the
whole map; means and variances are derived when they are read. So evidence adds up when clusters
merge, and taking a feedback back is exact, unless its arm has changed since (see `moved`). Beside
the sums stands what is solved from them now and then (levels, difficulty, tilts), and how well each
way of pooling has foretold, which is never taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
import numpy as np

from ..clustering import Surroundings, finest
from ..handed import Handed
from .adjusted import AdjustedLevels
from .arms import ACTIVE, ARM_ROWS, KIN, LAMBDA, LEVEL, LISTED, NOISE, PRIOR
from .belief import SUPPORT, Array, Belief
from .cells import Cells
from .credit import C2, CN, R2, ROWS, C, R, Sums, W, added
from .evidence import hand_over
from .learning import learn, noises
from .pooled import LOG_WEIGHT, STRENGTH, WEIGHT, Widths, believe
from .priors import Priors
from .rates import dearest, mean_costs
from .unpooled import PRIOR_WEIGHT, each_by_itself, means, without_map

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
        self._handed: Handed | None = None  # what machine code sees; None: hand over anew
        self._pools = np.stack([_STRENGTHS, _weights(_LOG_PRIOR), _LOG_PRIOR])
        self.tune(pooling or Pooling())
        self.arms: tuple[str, ...] = ()
        self.index: dict[str, int] = {}
        self._priors = Priors()
        self._dearest: float | None = None  # None: to be worked out
        self._arms = np.zeros((ARM_ROWS, 0))
        self._levels = levels
        self._cells = Cells()
        self._adjusted = AdjustedLevels()
        self._learnt = 0

    def tune(self, pooling: Pooling) -> None:
        """Pool in another way; what was learnt stays."""
        self.pooling = pooling
        self._pools[STRENGTH] = pooling.strength * _STRENGTHS
        widths = replace(_WIDTHS, untried_here=pooling.exploration)
        self._tuning = widths.array(pooling.sharpening, pooling.difficulty_strength)
        self._handed = None

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
        new = arm not in self.index
        if new:
            self.index[arm] = len(self.arms)
            self.arms = (*self.arms, arm)
            self._arms = np.pad(self._arms, ((0, 0), (0, 1)))
            self._handed = None
            self._cells.add_arm()
            self._adjusted.add_arm()
            self._priors.add_arm()
        index = self.index[arm]
        self._arms[ACTIVE, index] = 1.0
        listed = self._priors.cost[index]
        if cost and listed > 0 and cost != listed:  # a new price: what was billed scales with it
            self.repriced(arm, cost / listed)
        self._priors.set(index, prior, cost, like)
        self._dearest = None
        self._arms[LISTED] = self._priors.cost
        self._find_kin()
        if new or (self._arms[PRIOR] != self._guess()).any():
            self._refit()

    def retire(self, arm: str) -> None:
        """No longer count an arm among those that share the traffic; its evidence stays."""
        self._arms[ACTIVE, self.index[arm]] = 0.0

    def learn(
        self,
        here: Surroundings,
        path: tuple[int, ...],
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
        if sums[CN] or sums[C]:
            self._dearest = None
        if self._levels:
            lesson = sums, (index, fresh, *path)
            room, sound, quality, cost, before, now = learn(*lesson, *self._evidence(here))
            if not room:
                self._make_room(here, path, sums)
                room, sound, quality, cost, before, now = learn(*lesson, *self._evidence(here))
                assert room
            foretold = Foretold(quality, cost)
        else:
            foretold, sound, before, now = self._learn_without_map(sums, index)
        if sound and not (sums[W] or sums[R] or sums[R2]):
            return foretold  # a bill or a latency alone moves no level
        if self._levels and not sound:
            adjusted.make_room(min(here.dimension, _COORDINATES))
            adjusted.only_level(index, self._arms[:, index])
        self._learnt += 1
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
        weight, reward = self._arms[:2, index]
        scale = min(1.0, keep / max(float(weight), 1e-12))
        before = reward / weight if weight > 0 else 0.0
        shift = min(max(before + by, 0.0), 1.0) - before  # of the mean, over the whole map
        for sums in (self._arms[:, index], *self._cells.of_arm(index)):
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
        for sums in (self._arms[:, index], self._cells.of_arm(index).T):
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
        self._adjusted.placeless(self._arms[W], self._arms[R])
        self._refit()

    def evidence(self, id_: int) -> Array:
        """Return the weight of feedback of each arm in one cluster, shape (arms,)."""
        return self._cells.evidence(id_)

    @property
    def total(self) -> Array:
        """Weight of feedback of each arm in the whole map, shape (arms,)."""
        return np.array(self._arms[W])

    def at(self, here: Surroundings) -> Belief:
        """Return what is believed of every arm at a place."""
        if not self._levels:
            belief = without_map(self._arms)
        else:
            table = np.zeros((SUPPORT + 1 + self._levels, len(self.arms)))
            believe(table, *self._evidence(here))
            belief = Belief(table, self.pooling.sharpening)
        if not self.pooling.flat:
            return belief
        held = finest(here.path)
        own = self._cells.inside(held) if held else self._arms
        return each_by_itself(belief, own, self._arms[PRIOR])

    def overall(self) -> tuple[Array, Array]:
        """Return mean quality and mean cost (nan: unknown) over all that was observed."""
        return means(self._arms), self.costs()

    def costs(self) -> Array:
        """Return each arm's mean cost over all that was observed (nan: unknown), (arms,)."""
        return mean_costs(self._arms)

    def dearest(self) -> float:
        """Return the highest of these costs, 0 if none is known."""
        if self._dearest is None:
            self._dearest = dearest(self._arms)
        return self._dearest

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "arms": list(self.arms),
            "priors": self._priors.state(),
            "active": self._arms[ACTIVE] != 0.0,
            "prior": self._arms[PRIOR],
            "total": self._arms[:ROWS],
            "cells": self._cells.state(),
            "adjusted": self._adjusted.state(),
            "log_weights": self._pools[LOG_WEIGHT],
            "weights": self._pools[WEIGHT],
            "learnt": self._learnt,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.arms = tuple(state["arms"])
        self.index = {arm: i for i, arm in enumerate(self.arms)}
        self._priors.load(state["priors"])
        self._arms = np.zeros((ARM_ROWS, len(self.arms)))
        self._handed = None
        self._arms[:ROWS], self._arms[ACTIVE] = state["total"], state["active"]
        self._arms[LISTED], self._arms[PRIOR] = self._priors.cost, state["prior"]
        self._adjusted.load(state["adjusted"])
        self._cells.load(state["cells"])
        self._pools[WEIGHT], self._pools[LOG_WEIGHT] = state["weights"], state["log_weights"]
        self._learnt = state["learnt"]
        self._dearest = None
        self._suppose()
        self._note_levels()

    def _guess(self) -> Array:
        """Each arm's prior mean quality, shape (arms,)."""
        weight, reward = self._arms[:2]
        plain = reward / np.maximum(weight, PRIOR_WEIGHT)
        level = self._adjusted.levels if self._levels else plain
        return self._priors.quality(self.index, weight, level)

    def _make_room(self, here: Surroundings, path: tuple[int, ...], sums: Sums) -> None:
        """Have a row for every cluster of a path, and hold places of its dimension."""
        dimension = min(here.dimension, _COORDINATES)
        self._cells.make_room(path, dimension if sums[W] else None)
        self._adjusted.make_room(dimension if any(sums[:CN]) else 0)

    def _learn_without_map(self, sums: Sums, index: int) -> tuple[Foretold, bool, float, float]:
        believed, before = without_map(self._arms), self._arms.item(W, index)
        cost = believed.cost.item(index) if sums[CN] else np.nan
        sound = added(self._arms[:, index], sums)
        noises(self._arms)
        foretold = Foretold(believed.quality.item(index), cost)
        return foretold, sound, before, self._arms.item(W, index)

    def _evidence(self, here: Surroundings) -> tuple[Any, ...]:
        """Return what `believe` and `learn` both end with."""
        handed, dimension = self._handed, here.dimension
        if not (handed and self._cells.handed_over and self._adjusted.handed_over):
            handed = self._hand_over()
        return (
            handed.words,
            here.words,
            _folding(dimension) if dimension > _COORDINATES else _AS_IT_IS,
        )

    def _hand_over(self) -> Handed:
        """Let machine code see the arrays of now."""
        cells, adjusted = self._cells, self._adjusted
        seen = cells.sums, cells.places, cells.row_of
        self._handed = hand_over(self._arms, adjusted.held, *seen, self._pools, self._tuning)
        cells.handed_over = adjusted.handed_over = True
        return self._handed

    def _suppose(self) -> None:
        """Work out again what follows from evidence and priors."""
        noises(self._arms)
        self._find_kin()

    def _find_kin(self) -> None:
        kin = self._priors.kin(self.index)
        self._arms[KIN] = np.arange(len(self.arms)) if kin is None else kin

    def _refit(self) -> None:
        self._arms[PRIOR] = self._guess()
        self._suppose()
        if self._levels:
            self._adjusted.fit(self._arms[PRIOR], self._arms[NOISE])
            self._note_levels()

    def _note_levels(self) -> None:
        """Hold the levels where machine code reads them."""
        self._arms[LEVEL], self._arms[LAMBDA] = self._adjusted.levels, self._adjusted.lambdas


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
