"""One policy, one seed, one stream: the real router, fed real outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..config import Settings
from ..policies import Outside, ThompsonPolicy
from ..router import OWN_VECTORS, Router
from ..types import Advice, Decision, Feedback, Model, Outcome, Request, Training
from .hindsight import HINDSIGHT, by_task, choices, utilities
from .judge import SimulatedJudge
from .tables import Array, RoutingTable
from .worlds import Phase, World

Vectors = NDArray[np.float32] | None
_TICK = 200


@dataclass(frozen=True, eq=False)
class Played:
    """What came of one run; arrays over steps.

    `arm` is the column chosen; `decide_us` and `update_us` are medians in microseconds, None
    for a policy that decides with hindsight. `cluster` is the coarsest cluster that held the
    prompt, or what has become of it by the end; None for a policy without a map.
    """

    utility: Array
    quality: Array
    cost: Array
    arm: NDArray[np.int64]
    decide_us: float | None = None
    update_us: float | None = None
    cluster: NDArray[np.int64] | None = None


def play(
    policy: str,
    table: RoutingTable,
    world: World,
    *,
    vectors: Vectors,
    settings: Settings,
    tick: Callable[[int], object] = lambda steps: None,
) -> Played:
    """Play a policy over a world.

    Parameters
    ----------
    vectors
        Unit embeddings of the table's prompts; None for policies that need none.
    settings
        The router's; strategy is set to `policy`.
    tick
        Called with the number of steps played since the last call.

    Notes
    -----
    From the second pass on, an arm that this policy has already observed on that very prompt
    returns no feedback: later passes must not reward memory of single prompts.
    """
    if policy in HINDSIGHT:
        arm = choices(policy, table, world, settings.bandit.cost_weight)
        tick(world.steps)
        return _outcome(table, world, settings, arm)
    run = _Run(policy, table, world, vectors, settings)
    for step in range(world.steps):
        run.step(step)
        if (step + 1) % _TICK == 0:
            tick(_TICK)
    tick(world.steps % _TICK)
    found = _outcome(table, world, settings, run.arm, run.decide_us, run.update_us)
    weight = settings.bandit.cost_weight / table.reference_cost_usd
    return replace(
        found,
        cluster=run.clusters(),
        cost=found.cost + run.asking,
        utility=found.utility - weight * run.asking,
    )


def _outcome(
    table: RoutingTable,
    world: World,
    settings: Settings,
    arm: NDArray[np.int64],
    decide_us: float | None = None,
    update_us: float | None = None,
) -> Played:
    phase, row = world.phase_of_steps(), world.order
    quality = np.stack([p.quality for p in world.phases])[phase, row, arm]
    cost = np.stack([p.cost for p in world.phases])[phase, row, arm]
    weight, reference = settings.bandit.cost_weight, table.reference_cost_usd
    tables = [utilities(p, weight, reference) for p in world.phases]
    utility = np.stack(tables)[phase, row, arm]
    return Played(utility, quality, cost, arm, decide_us, update_us)


class _Run:
    """A router on a stream, and the feedback under way to it."""

    def __init__(
        self,
        policy: str,
        table: RoutingTable,
        world: World,
        vectors: Vectors,
        settings: Settings,
    ) -> None:
        bandit = msgspec.structs.replace(settings.bandit, strategy=policy)
        self._table, self._world, self._vectors = table, world, vectors
        self._column = {name: i for i, name in enumerate(table.names)}
        self._phase = 0
        self._router = Router(
            [m for m, here in zip(table.models, world.phases[0].present, strict=True) if here],
            settings=msgspec.structs.replace(settings, bandit=bandit),
            embedder=None if vectors is not None else OWN_VECTORS,
        )
        if self._router.policy.needs_training:
            self._train(world.prefix)
        self._under_way: deque[tuple[int, Feedback]] = deque()
        self._observed: set[tuple[int, int]] = set()
        self._decide: list[float] = []
        self._update: list[float] = []
        self.arm = np.zeros(world.steps, dtype=np.int64)
        self.asking = np.zeros(world.steps)  # what a judge cost
        self._cluster = np.zeros(world.steps, dtype=np.int64)
        self._judge = SimulatedJudge(settings.llm_judge, table.models, settings.bandit.seed)
        scale = settings.bandit.cost_weight, table.reference_cost_usd
        self._by_task = (
            [by_task(table, utilities(phase, *scale)) for phase in world.phases]
            if self._router.policy.needs_judge
            else []
        )

    def _train(self, rows: NDArray[np.int64]) -> None:
        """Give a policy that is fitted every outcome on the prompts left out of the stream."""
        assert len(rows), "a policy that is fitted needs a world with a prefix"
        assert self._vectors is not None
        training = Training.of(
            self._table.names,
            self._vectors[rows],
            self._table.quality[rows],
            self._table.cost[rows],
        )
        body = msgspec.to_builtins(training, builtin_types=(bytes,))
        self._router.apply(self._router.change("trained", body))

    @property
    def decide_us(self) -> float:
        """Median time of a decision, microseconds."""
        return float(np.median(self._decide)) * 1e6

    @property
    def update_us(self) -> float | None:
        """Median time of a feedback, microseconds; None if none came."""
        return float(np.median(self._update)) * 1e6 if self._update else None

    def clusters(self) -> NDArray[np.int64] | None:
        """Where each prompt fell, told by the clusters that there are now."""
        policy = self._router.policy
        if not isinstance(policy, ThompsonPolicy) or policy.map is None:
            return None
        ids, place = np.unique(self._cluster, return_inverse=True)
        return np.array([policy.map.heir(int(id_)) for id_ in ids], dtype=np.int64)[place]

    def step(self, step: int) -> None:
        """Deliver what is due, decide, and send the outcome on its way."""
        self._enter(step)
        while self._under_way and self._under_way[0][0] <= step:
            self._deliver(self._under_way.popleft()[1], step)
        row = int(self._world.order[step])
        phase = self._world.phases[self._phase]
        decision = self._route(row, phase, step)
        column = self._served(decision, row, phase, step)
        self.arm[step] = column
        self.asking[step] = decision.advice.cost_usd if decision.advice else 0.0
        self._cluster[step] = decision.path[0] if decision.path else 0
        # Within one pass no prompt comes twice, so this begins with the second.
        if (row, column) in self._observed or self._world.lost[step]:
            return
        self._observed.add((row, column))
        reward = float(phase.quality[row, column])
        said = Feedback(
            decision_id=decision.decision_id,
            reward=1.0 - reward if self._world.flipped[step] else reward,
            cost_usd=float(phase.cost[row, column]) if self._table.has_cost else None,
        )
        if self._world.delay:
            self._under_way.append((step + self._world.delay, said))
        else:
            self._deliver(said, step)

    def _route(self, row: int, phase: Phase, step: int) -> Decision:
        eligible = phase.eligible(row)
        request = Request()
        if not eligible[phase.present].all():
            names = self._table.names
            request = Request(models=tuple(names[i] for i in np.flatnonzero(eligible)))
        vector = None if self._vectors is None else self._vectors[row]
        prompt = self._table.prompts[row]
        judge = self._asked(row, step) if self._by_task else None
        outside = Outside(judge=judge, up=lambda name: self._up(name, step))
        start = perf_counter()
        decision = self._router.route(
            prompt, vector=vector, request=request, time=float(step), outside=outside
        )
        self._decide.append(perf_counter() - start)
        return decision

    def _asked(self, row: int, step: int) -> Callable[[str | None, tuple[str, ...]], Advice]:
        """Return what a policy calls to ask the judge about the prompt of a step."""
        utility = self._by_task[self._phase][row]
        return lambda prompt, arms: self._judge.ask(prompt or "", arms, utility, step)

    def _up(self, name: str, step: int) -> bool:
        """Whether any provider serves a model now."""
        return self._world.down is None or not self._world.down[step, self._column[name]]

    def _served(self, decision: Decision, row: int, phase: Phase, step: int) -> int:
        """Return the column of the model that answers: as in the gateway, the next best that can.

        Where nobody serves any of the models, the outage spares them all.
        """
        column = self._column[decision.model]
        if self._up(decision.model, step):
            return column
        ranked = sorted(decision.candidates, key=lambda c: (-(c.utility or 0.0), -c.propensity))
        other = next((c.model for c in ranked if self._up(c.model, step)), None)
        if other is None:
            return column
        said = Outcome(seq=0, time=0.0, decision_id=decision.decision_id, model=other)
        self._router.apply(self._router.outcome(said, time=float(step)))
        return self._column[other]

    def _deliver(self, feedback: Feedback, step: int) -> None:
        start = perf_counter()
        self._router.feedback(feedback, time=float(step))
        self._update.append(perf_counter() - start)

    def _enter(self, step: int) -> None:
        """Tell the router of arms and list prices that change with the phase."""
        following = self._phase + 1
        if following == len(self._world.phases) or step < self._world.phases[following].start:
            return
        before, now = self._world.phases[self._phase], self._world.phases[following]
        self._phase = following
        for column, model in enumerate(self._table.models):
            if before.present[column] and not now.present[column]:
                body = {"name": model.name}
                self._router.apply(self._router.change("model_removed", body))
            elif now.present[column] and (
                not before.present[column] or before.dearer[column] != now.dearer[column]
            ):
                priced = msgspec.to_builtins(_priced(model, float(now.dearer[column])))
                self._router.apply(self._router.change("model_set", priced))


def _priced(model: Model, factor: float) -> Model:
    prices = {
        key: None if value is None else factor * value
        for key in ("input_usd_per_m", "output_usd_per_m")
        for value in (getattr(model, key),)
    }
    return msgspec.structs.replace(model, **prices)
