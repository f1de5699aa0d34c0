"""Ours: Thompson sampling on a map of meaning that grows, and its context-free sibling."""

from __future__ import annotations

from typing import Any

from ..bandits.belief import Array, Belief, UtilityBelief, compose
from ..bandits.change import ChangeDetector, PriceWatch
from ..bandits.credit import CN, C, R, W
from ..bandits.draws import Draws
from ..bandits.jury import Jury
from ..bandits.posterior import Foretold, Pooling, Posterior
from ..bandits.thompson import draw, propensities, with_floor
from ..candidates import Candidates
from ..clustering import NOWHERE, WHOLE, ClusterMap, Place, Surroundings
from ..clustering.surroundings import path_of
from ..config import BanditSettings
from ..types import LineageEvent, Model, Vector
from .base import Choice, Context, Expectation, Lesson, Policy, known, typical_cost
from .settling import Eligible, any_arm, eligible, sampled, settled

_LATELY = 8192
_KEPT = 30.0  # weight of an arm's evidence after a change was found


class ThompsonPolicy(Policy):
    """Thompson sampling over utility, from posteriors that hang on the clusters of a map.

    Parameters
    ----------
    settings
        Pooling strengths, exploration and floor.
    map
        Where prompts fall; None for a context-free bandit.
    """

    def __init__(self, settings: BanditSettings, map: ClusterMap | None) -> None:
        self.name = "thompson" if map is not None else "global-thompson"
        self.needs_vector = map is not None
        self.map = map
        self.posterior = Posterior(levels=len(map.levels) if map else 0)
        self._detectors: dict[str, ChangeDetector] = {}
        self._prices: dict[str, PriceWatch] = {}
        self._juries: dict[str, Jury] = {}
        # Where the prompts of the latest decisions lie, by the remainder of their numbers.
        self._lately: list[tuple[int, Array] | None] = [None] * _LATELY
        self.tune(settings)

    def tune(self, settings: BanditSettings) -> None:
        """Take over pooling strengths, exploration and floor; what was learnt stays."""
        self._floor = settings.floor
        self._watch = settings.detect_changes
        self._bandwidth = settings.bandwidth
        self.posterior.tune(
            Pooling(
                strength=settings.strength,
                difficulty_strength=settings.difficulty_strength,
                exploration=settings.exploration,
                sharpening=settings.sharpening,
                flat=settings.pooling == "flat",
            )
        )

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Draw every arm's utility from its posterior here; the highest draw wins."""
        here = self.survey(context.vector)
        belief = self.posterior.at(here)
        utility = compose(belief, context.utility)
        arms = self.posterior.arms
        allowed = eligible(arms, context.arms)
        done = None if self._floor else sampled(context.arms, allowed, belief, utility, draws)
        chosen, found = done or self._step_by_step(context.arms, allowed, belief, utility, draws)
        return Choice(model=arms[chosen], path=path_of(here), candidates=found)

    def _step_by_step(
        self,
        arms: tuple[str, ...],
        allowed: Eligible,
        belief: Belief,
        utility: UtilityBelief,
        draws: Draws,
    ) -> tuple[int, Candidates]:
        chance = propensities(utility, allowed.mask)
        drawn, taken = draw(utility, draws), None
        if self._floor:
            chance = with_floor(chance, allowed.mask, self._floor)
            taken = any_arm(allowed, self._floor, draws)
        return settled(arms, allowed, belief, chance, utility, drawn, taken)

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return posterior mean cost and latency of each arm where the prompt falls."""
        belief = self.posterior.at(self.survey(context.vector))
        return {
            arm: Expectation(
                cost_usd=known(float(belief.cost[i])), latency_ms=known(float(belief.latency[i]))
            )
            for i, arm in enumerate(self.posterior.arms)
        }

    def reference_cost(self) -> float | None:
        """Return the mean cost of the dearest arm; see `base.dearest`."""
        return self.posterior.dearest() or None

    def observe(self, vector: Vector | None, seq: int, time: float) -> list[LineageEvent]:
        """Let the map learn the prompt, and evidence follow what became of its clusters."""
        if self.map is None or vector is None:
            return []
        z = self.map.project(vector)
        if self.map.projection is not None:  # else it is no work, and large
            self._lately[seq % _LATELY] = seq, z
        events = self.map.learn(z, seq, time)
        for event in events:
            if event.what == "merged":
                self.posterior.merge(event.cluster, event.other)
            elif event.what == "faded":  # the coarser levels hold its evidence already
                self.posterior.merge(event.cluster, WHOLE)
        return events

    def learn(self, lesson: Lesson) -> None:
        """Credit the arm along the path's heirs, and watch whether it is still what it was."""
        if lesson.arm not in self.posterior.index:  # removed before this policy was there
            return
        decision = lesson.decision
        assert decision is not None
        path, here = self._heirs(decision.path), NOWHERE
        if self.map is not None:
            z = self._place(self.map, decision.seq, lesson)
            here = Surroundings.inside(path) if z is None else self.map.around(z, self._bandwidth)
        foretold = self.posterior.learn(here, path, lesson.sums, lesson.arm, lesson.fresh)
        if self._watch:
            self._notice(lesson, foretold)

    def _place(self, map_: ClusterMap, seq: int, lesson: Lesson) -> Array | None:
        """Return where a decision's prompt lies; None without a vector in the map's space."""
        if not lesson.embedded:
            return None
        found = self._lately[seq % _LATELY]
        if found is not None and found[0] == seq:
            return found[1]
        vector = lesson.vector
        return None if vector is None else map_.project(vector)

    def _notice(self, lesson: Lesson, foretold: Foretold) -> None:
        """Let the detectors see a fresh observation, and act on what they tell."""
        sums = lesson.sums
        if lesson.fresh and sums[W] > 0:
            residual = self._agreed("quality", lesson, sums[R] / sums[W] - foretold.quality)
            if (detector := self._detectors.get(lesson.arm)) is None:
                detector = self._detectors[lesson.arm] = ChangeDetector()
            by = None if residual is None else detector.update(residual)
            if by is not None:
                self.posterior.moved(lesson.arm, by, keep=_KEPT)
        if sums[CN] >= 1.0 and foretold.cost > 0:  # less: a voice that has used up its cap
            seen = self._agreed("price", lesson, sums[C] / foretold.cost)
            watch = self._prices.setdefault(lesson.arm, PriceWatch())
            ratio = None if seen is None else watch.update(seen, 1.0)
            if ratio is not None:
                self.posterior.repriced(lesson.arm, ratio)

    def _agreed(self, what: str, lesson: Lesson, value: float) -> float | None:
        """Return what a detector may be told; where voices are capped, three have to say it."""
        if lesson.voice is None:
            return value
        return self._juries.setdefault(f"{what} {lesson.arm}", Jury()).hear(lesson.voice, value)

    def retire_arm(self, name: str) -> None:
        """No longer count an arm among those that are tried; its evidence stays."""
        self.posterior.retire(name)

    def set_arm(self, model: Model) -> None:
        """Add an arm, or alter its priors."""
        prior, cost = model.quality_prior, typical_cost(model)
        self.posterior.set_arm(model.name, prior, cost, model.similar_to)

    def survey(self, vector: Vector | None) -> Surroundings:
        """Return where a prompt lies on the map."""
        if self.map is None:
            return NOWHERE
        if vector is None:
            return Surroundings.inside([WHOLE] * len(self.map.levels))
        return self.map.survey(vector, self._bandwidth)

    def within(self, place: Place) -> Surroundings:
        """Return the inside of a cluster and of those that hold it, with nothing around."""
        assert self.map is not None
        path = [WHOLE] * len(self.map.levels)
        id_ = place.id
        for level in range(place.level, -1, -1):
            path[level] = id_
            id_ = self.map.lineage.parent(id_)
        return Surroundings.inside(path, place.center)

    @property
    def next_cluster(self) -> int:
        """The first cluster id that was never used."""
        return self.map.next_id if self.map else 1

    def inherit(self, other: Policy) -> None:
        """Take over the evidence of the whole map; places are learnt anew."""
        if isinstance(other, ThompsonPolicy):
            self.posterior.inherit(other.posterior)

    @property
    def restorable(self) -> bool:
        """Whether the map's clusterer can go on from its state."""
        return self.map is None or self.map.restorable

    def state(self) -> dict[str, Any]:
        """Return map and posteriors."""
        return {
            "map": self.map.state() if self.map else None,
            "posterior": self.posterior.state(),
            "prices": {arm: watch.ratio for arm, watch in sorted(self._prices.items())},
            "juries": {name: jury.state() for name, jury in sorted(self._juries.items())},
            "detectors": {arm: d.state() for arm, d in sorted(self._detectors.items())},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._lately = [None] * _LATELY
        if self.map is not None:
            self.map.load(state["map"])
        self.posterior.load(state["posterior"])
        self._prices = {arm: PriceWatch(ratio) for arm, ratio in state["prices"].items()}
        for name, said in state["juries"].items():
            self._juries[name] = Jury()
            self._juries[name].load(said)
        for arm, inner in state["detectors"].items():
            self._detectors[arm] = ChangeDetector()
            self._detectors[arm].load(inner)

    def _heirs(self, path: tuple[int, ...]) -> tuple[int, ...]:
        """Return the live clusters that a logged path has come to, one a level; 0 for none."""
        if self.map is None:
            return ()
        if len(path) != len(self.map.levels):
            return (WHOLE,) * len(self.map.levels)
        return self.map.lineage.heirs(path)
