"""Worlds: the order in which prompts come, and what changes while they do.

A world is drawn from a table, a scenario and a seed. It is the same for every policy. Scenarios
compose: ``degrade+delay`` is a best arm that degrades unseen while feedback comes late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..config import nearest
from ..exceptions import InvalidInput
from .outages import outages
from .tables import Array, RoutingTable

SCENARIOS = (
    "stationary",
    "by-task",
    "degrade",
    "price",
    "new-arm",
    "retire",
    "delay",
    "noise",
    "outage",
)

_DELAY = 500
_LOST = 0.3
_FLIPPED = 0.1
_DEARER = 10.0
_ANY = 6  # steps that are enough for every phase to have some


@dataclass(frozen=True, eq=False)
class Phase:
    """What holds from step `start` on.

    Attributes
    ----------
    quality, cost
        Shape (prompts, models).
    present
        Which models there are, shape (models,).
    dearer
        By what each model's list price is multiplied, shape (models,).
    """

    start: int
    quality: Array
    cost: Array
    present: NDArray[np.bool_]
    dearer: Array

    def eligible(self, row: int) -> NDArray[np.bool_]:
        """Return which models may answer a prompt now."""
        answered: NDArray[np.bool_] = ~np.isnan(self.quality[row])
        return answered & self.present


@dataclass(frozen=True, eq=False)
class World:
    """One stream of prompts.

    Attributes
    ----------
    order
        Row of the table at every step, shape (steps,).
    prefix
        Rows to train on, none of which is in the stream.
    phases
        In order; the first starts at 0.
    delay
        Decisions until a feedback arrives.
    lost, flipped
        Whether the feedback of a step never comes, or comes as its opposite, shape (steps,).
    down
        Models that no provider serves at a step, shape (steps, models); None: all are served.
    """

    order: NDArray[np.int64]
    prefix: NDArray[np.int64]
    phases: tuple[Phase, ...]
    delay: int
    lost: NDArray[np.bool_]
    flipped: NDArray[np.bool_]
    down: NDArray[np.bool_] | None = None

    @property
    def steps(self) -> int:
        """Length of the stream."""
        return len(self.order)

    def phase_of_steps(self) -> NDArray[np.int64]:
        """Return the index of the phase of every step, shape (steps,)."""
        starts = [phase.start for phase in self.phases]
        return np.searchsorted(starts, np.arange(self.steps), side="right") - 1


def make_world(
    table: RoutingTable,
    scenario: str,
    seed: int,
    steps: int,
    cost_weight: float,
    train: int = 0,
) -> World:
    """Return the world of a scenario.

    Parameters
    ----------
    table
        Already restricted to the models played.
    steps
        Length of the stream; beyond one pass it starts again in a new order.
    cost_weight
        Decides which arm is *the best*: the one of the highest mean utility.
    train
        Prompts drawn at random that are left out of the stream, to train policies on.

    Raises
    ------
    InvalidInput
        If there is no such scenario, or the table cannot play it.
    """
    parts = parts_of(scenario)
    if "price" in parts and not table.has_cost:
        raise InvalidInput(f"table {table.name} has no costs to raise", "scenario")
    phases = _phases(table, parts, steps, best_arm(table, cost_weight))
    rng = np.random.default_rng([seed, 0])
    prefix, possible = _split(_possible(table, scenario, phases), train, seed)
    chance = np.random.default_rng([seed, 1]).random((2, steps))
    return World(
        prefix=prefix,
        order=_order(table, possible, "by-task" in parts, rng, steps),
        phases=phases,
        delay=_DELAY if "delay" in parts else 0,
        lost=chance[0] < (_LOST if "delay" in parts else 0.0),
        flipped=chance[1] < (_FLIPPED if "noise" in parts else 0.0),
        down=outages(len(table.models), steps, seed) if "outage" in parts else None,
    )


def one_pass(table: RoutingTable, scenario: str, cost_weight: float) -> int:
    """Return how many prompts some model can answer throughout: the length of one pass."""
    phases = _phases(table, parts_of(scenario), _ANY, best_arm(table, cost_weight))
    return len(_possible(table, scenario, phases))


def best_arm(table: RoutingTable, cost_weight: float) -> int:
    """Return the column of the model with the highest mean utility."""
    utility = table.quality - cost_weight * table.cost / table.reference_cost_usd
    return int(np.nanargmax(np.nanmean(utility, axis=0)))


def parts_of(scenario: str) -> tuple[str, ...]:
    """Return the scenarios that a name such as ``degrade+delay`` is made of.

    Raises
    ------
    InvalidInput
        If there is no such scenario.
    """
    parts = tuple(part.strip() for part in scenario.split("+"))
    for part in parts:
        if part not in SCENARIOS:
            raise InvalidInput(
                f"no scenario {part!r}{nearest(part, SCENARIOS)}; there are "
                f"{', '.join(SCENARIOS)}, and sums of them such as degrade+delay",
                "scenario",
            )
    return parts


@dataclass(frozen=True)
class _Effect:
    """What a scenario does to a phase from one step to another."""

    start: int
    stop: int
    act: Callable[[Phase], Phase]


def _degrade(arm: NDArray[np.bool_], phase: Phase) -> Phase:
    return replace(phase, quality=np.where(arm, 0.5, 1.0) * phase.quality)


def _price(arm: NDArray[np.bool_], phase: Phase) -> Phase:
    dearer = np.where(arm, _DEARER, 1.0)
    return replace(phase, cost=phase.cost * dearer, dearer=dearer)


def _without(arm: NDArray[np.bool_], phase: Phase) -> Phase:
    return replace(phase, present=phase.present & ~arm)


def _phases(
    table: RoutingTable, scenarios: tuple[str, ...], steps: int, best: int
) -> tuple[Phase, ...]:
    arms = len(table.models)
    usual = Phase(0, table.quality, table.cost, np.ones(arms, dtype=bool), np.ones(arms))
    target, half, third, end = np.arange(arms) == best, steps // 2, steps // 3, steps
    all_effects = {
        "degrade": _Effect(half, end, partial(_degrade, target)),
        "price": _Effect(half, end, partial(_price, target)),
        "new-arm": _Effect(0, third, partial(_without, target)),
        "retire": _Effect(half, end, partial(_without, target)),
    }
    effects = [all_effects[name] for name in dict.fromkeys(scenarios) if name in all_effects]
    starts = {0} | {t for e in effects for t in (e.start, e.stop) if t < end}
    phases = []
    for start in sorted(starts):
        phase = replace(usual, start=start)
        for effect in effects:
            if effect.start <= start < effect.stop:
                phase = effect.act(phase)
        phases.append(phase)
    return tuple(phases)


def _possible(table: RoutingTable, scenario: str, phases: tuple[Phase, ...]) -> NDArray[np.int64]:
    answered = [(~np.isnan(p.quality) & p.present).any(axis=1) for p in phases]
    possible = np.flatnonzero(np.all(answered, axis=0))
    if not len(possible):
        raise InvalidInput(f"table {table.name} has too few models for {scenario}", "scenario")
    return possible


def _split(
    rows: NDArray[np.int64], train: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw `train` of the rows; return them, and the others."""
    if not 0 <= train < len(rows):
        raise InvalidInput(
            f"train must be at least 0 and below the {len(rows)} prompts there are", "train"
        )
    taken = np.random.default_rng([seed, 2]).permutation(len(rows)) < train
    return rows[taken], rows[~taken]


def _order(
    table: RoutingTable,
    rows: NDArray[np.int64],
    by_task: bool,
    rng: np.random.Generator,
    steps: int,
) -> NDArray[np.int64]:
    passes = []
    tasks = np.array(table.tasks)[rows]
    for _ in range(-(-steps // len(rows))):
        shuffled = rng.permutation(len(rows))
        if by_task:
            names = list(dict.fromkeys(tasks[shuffled].tolist()))
            place = {name: i for i, name in enumerate(rng.permutation(names).tolist())}
            turn = np.array([place[name] for name in tasks[shuffled].tolist()])
            shuffled = shuffled[np.argsort(turn, kind="stable")]
        passes.append(rows[shuffled])
    return np.concatenate(passes)[:steps]
