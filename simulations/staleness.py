"""The price of staleness: utility when replicas decide from states that are some time old.

    python -m simulations.staleness simulations/tables/ulab14

One learner folds every decision and its feedback in order. Replicas take requests at random; each
decides from a copy of the learner's state that it takes anew every so many seconds, each at a
moment of its own, as they do over PostgreSQL (docs/scale-out.md); nothing else of a replica
matters here. The stream is the first 3,000 requests of a router that knows nothing, at 10 requests
a second. Whoever has more traffic has more decisions in a second: what counts is the column
`decisions`. Prompts are embedded by `static`.

What a decision is worth is the mean over what it might have chosen, by its own probabilities,
so that no draw adds noise; streams, and the random numbers of each decision, are the same in every
case of a seed. `loss` is the utility lost a decision beside one process that is always up to date,
when the world goes on from what stale replicas did; it is noisy, for one other choice early on
changes all that is learnt. `loss_same_history` holds that still: at each decision of the process
that is always up to date it asks what an old copy of its own state would have done there. Errors
are standard errors over seeds. The time that a state takes to be published is not in the age.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit_router import Decision, Feedback, Router
from bandit_router.config import EmbedderSettings, Settings
from bandit_router.embedding import make_embedder
from bandit_router.simulator import read_table
from bandit_router.types import Request

from .harness import grid, keep_rows, on_all_cores, parser_of

SETTINGS = Settings(embedder=EmbedderSettings(name="static"))
RATE = 10.0
STEPS = 3000
SEEDS = 24
AGES = (0.1, 1.0, 10.0, 60.0, 600.0)
REPLICAS = (1, 10)

Case = tuple[int, int]
"""Decisions of all replicas together between two states of one (0: always up to date); replicas."""

Tick = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class World:
    """A table and its prompts' vectors."""

    table: Any
    vectors: NDArray[np.float32]
    steps: int
    periods: tuple[int, ...]

    def order(self, seed: int) -> NDArray[np.int64]:
        """Return a seed's stream of prompts."""
        return np.random.default_rng(seed).permutation(len(self.vectors))[: self.steps]

    def learner(self, seed: int) -> Router:
        """Return a router that knows nothing."""
        bandit = msgspec.structs.replace(SETTINGS.bandit, seed=seed)
        settings = msgspec.structs.replace(SETTINGS, bandit=bandit)
        return Router(self.table.models, settings=settings)

    def decide(self, router: Router, step: int, prompt: int) -> Decision:
        """Decide as a router would at this step."""
        vector, absent = self.vectors[prompt], np.isnan(self.table.quality[prompt])
        request = None
        if absent.any():
            able = zip(self.table.names, absent, strict=True)
            request = Request(models=tuple(name for name, out in able if not out))
        return router.decide(
            vector=vector, request=request, decision_id=f"d{step}", new_id=True, number=step
        )

    def worth(self, decision: Decision, prompt: int) -> float:
        """Return the mean quality of what a decision might have chosen."""
        return sum(
            c.propensity * float(self.table.quality[prompt, self.table.names.index(c.model)])
            for c in decision.candidates
            if c.propensity > 0
        )

    def teach(self, learner: Router, decision: Decision, prompt: int) -> None:
        """Let the learner fold a decision and the feedback on it."""
        learner.apply(learner.adopt(decision))
        reward = float(self.table.quality[prompt, self.table.names.index(decision.model)])
        learner.feedback(Feedback(decision_id=decision.decision_id, reward=reward))


def up_to_date(world: World, seed: int, tick: Tick) -> tuple[float, dict[int, float]]:
    """Return the mean worth of a process that is always up to date, and what old copies lose."""
    learner, old = world.learner(seed), {}
    phases = np.random.default_rng([seed, 1]).random(len(world.periods))
    earned, lost = 0.0, dict.fromkeys(world.periods, 0.0)
    for step, prompt in enumerate(world.order(seed)):
        state: bytes | None = None
        for period, phase in zip(world.periods, phases, strict=True):
            if step == 0 or step % period == int(phase * period):
                state = state or learner.snapshot()
                old[period] = Router.restore([], state=state)
        decision = world.decide(learner, step, prompt)
        worth = world.worth(decision, prompt)
        earned += worth
        for period, copy in old.items():
            # The copy was taken before this step's decision, so it is up to `period` decisions old.
            lost[period] += worth - world.worth(world.decide(copy, step, prompt), prompt)
        world.teach(learner, decision, prompt)
        tick(1)
    return earned / world.steps, {period: loss / world.steps for period, loss in lost.items()}


def replicas(world: World, case: Case, seed: int, tick: Tick) -> float:
    """Return the mean worth of what replicas choose, whose decisions the learner learns from."""
    period, count = case
    learner = world.learner(seed)
    state, state_of = learner.snapshot(), 0
    copies = [Router.restore([], state=state) for _ in range(count)]
    newer: dict[int, bytes] = {}
    phases = [period * i // count for i in range(count)]
    turns = np.random.default_rng([seed, count]).integers(count, size=world.steps)
    earned = 0.0
    for step, prompt in enumerate(world.order(seed)):
        for i in (i for i in range(count) if step % period == phases[i]):
            if state_of != step:
                state, state_of = learner.snapshot(), step
            newer[i] = state
        turn = int(turns[step])
        if turn in newer:  # taken when it is due, opened when it is needed
            copies[turn] = Router.restore([], state=newer.pop(turn))
        decision = world.decide(copies[turn], step, prompt)
        earned += world.worth(decision, prompt)
        world.teach(learner, decision, prompt)
        tick(1)
    return earned / world.steps


def play(worlds: Sequence[World], task: tuple[int, Case | None, int], tick: Tick) -> Any:
    """Play one case of one seed."""
    which, case, seed = task
    if case is None:
        return up_to_date(worlds[which], seed, tick)
    return replicas(worlds[which], case, seed, tick)


def _mean(losses: NDArray[np.float64]) -> tuple[float, float]:
    error = losses.std(ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else np.nan
    return round(float(losses.mean()), 5), round(float(error), 5)


def words(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    shown = [
        (
            row["table"],
            f"{row['age_s']:g} s",
            row["decisions"],
            row["replicas"],
            f"{row['utility']:.4f}",
            f"{row['loss']:+.4f} ± {row['loss_standard_error']:.4f}",
            f"{row['loss_same_history']:+.5f} ± {row['loss_same_history_standard_error']:.5f}",
        )
        for row in rows
    ]
    head = ("table", "state taken every", "decisions meanwhile", "replicas", "utility")
    return grid((*head, "loss", "loss, same history"), shown)


def main() -> None:
    """Run the study, keep its rows and print its table."""
    parser = parser_of(__doc__, SEEDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each stream")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second, of all")
    parser.add_argument("--ages", type=float, nargs="*", default=AGES, help="seconds")
    parser.add_argument("--replicas", type=int, nargs="*", default=REPLICAS)
    args = parser.parse_args()
    periods = {age: max(1, round(age * args.rate)) for age in args.ages}
    worlds = []
    for folder in args.tables:
        table = read_table(folder)
        vectors = make_embedder(SETTINGS.embedder).encode(table.prompts)
        steps = min(args.steps, len(vectors))
        worlds.append(World(table, vectors, steps, tuple(periods.values())))
    cases = [(period, n) for period in periods.values() for n in args.replicas]
    tasks = [
        (which, case, seed)
        for which in range(len(worlds))
        for seed in range(args.seeds)
        for case in (None, *cases)
    ]
    total = sum(worlds[which].steps for which, _, _ in tasks)
    found = dict(
        zip(tasks, on_all_cores(play, worlds, tasks, label="staleness", steps=total), strict=True)
    )
    rows: list[dict[str, Any]] = []
    for which, world in enumerate(worlds):
        fresh = [found[which, None, seed] for seed in range(args.seeds)]
        best = np.array([utility for utility, _ in fresh])
        for age, period in periods.items():
            same = _mean(np.array([lost[period] for _, lost in fresh]))
            for count in args.replicas:
                own = np.array([found[which, (period, count), s] for s in range(args.seeds)])
                loss = _mean(best - own)
                rows.append(
                    {
                        "table": world.table.name,
                        "seeds": args.seeds,
                        "steps": world.steps,
                        "age_s": age,
                        "decisions": period,
                        "replicas": count,
                        "utility_up_to_date": round(float(best.mean()), 5),
                        "utility": round(float(own.mean()), 5),
                        "loss": loss[0],
                        "loss_standard_error": loss[1],
                        "loss_same_history": same[0],
                        "loss_same_history_standard_error": same[1],
                    }
                )
    print(keep_rows(args.out, "staleness", rows, words, by=("table", "age_s", "replicas")))


if __name__ == "__main__":
    main()
