"""Who has to go through a log decision by decision, and who need not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from ..config import Settings
from ..cores import cores
from .log_arrays import Log
from .ope import Array
from .parallel import run_all
from .passes import SHADOW, Passage, Run, typical
from .standing import RewardModel, RunningMeans, Standing, stands
from .targets import base_policy

WORTH_PROCESSES = 10_000  # decisions; below, starting processes takes longer

Task = tuple[str, bool]
"""A policy, and whether it goes through the log by rejection sampling."""


@dataclass(frozen=True)
class Plan:
    """What is to be done with a log.

    Attributes
    ----------
    base
        The policy whose posterior is the model of the rewards; None: running means are.
    passages
        What has to go through the log decision by decision.
    standing
        What need not.
    """

    base: str | None
    passages: list[Task]
    standing: list[Task]

    @classmethod
    def of(
        cls,
        wanted: Sequence[str],
        settings: Settings,
        *,
        reward_model: RewardModel,
        placed: bool,
        propensities: bool,
    ) -> Plan:
        """Plan for the `wanted` policies; is it known where prompts are `placed`?"""
        base = base_policy(placed) if reward_model == "posterior" else None
        first = [] if base is None else [base]
        asked = [n for n in dict.fromkeys([*first, *wanted]) if not n.startswith(SHADOW)]
        tasks = [(name, False) for name in asked if not name.startswith("fixed:")]
        tasks += [(name, True) for name in asked if propensities and name in wanted]
        standing = {name for name in asked if stands(name, settings)}
        return cls(
            base,
            [task for task in tasks if task[0] not in standing],
            [task for task in tasks if task[0] in standing],
        )


@dataclass(frozen=True, eq=False)
class Sent:
    """What came back of a log, or of a part of it.

    Attributes
    ----------
    model
        The model of the rewards; only what it believes.
    targets
        The probabilities of each policy but `fixed:MODEL`, (n, arms).
    lived
        The decisions that rejection sampling kept, of each policy.
    """

    model: Run
    targets: dict[str, Array]
    lived: dict[str, list[int]]

    @classmethod
    def of(cls, found: Mapping[Task, Any], model: Run) -> Sent:
        """Sort what the tasks brought."""
        targets, lived = {}, {}
        for (name, rejecting), what in found.items():
            if rejecting:
                lived[name] = what
            else:
                targets[name] = what.target if isinstance(what, Run) else what
        return cls(model, targets, lived)


class Bystanders:
    """What can be said of a part of a log without going through it."""

    def __init__(
        self, plan: Plan, models: Sequence[str], settings: Settings, least: float | None
    ) -> None:
        self._base = plan.base
        self._means = RunningMeans(len(models))
        self._standing = {
            (name, rejecting): Standing(name, models, settings, least if rejecting else None)
            for name, rejecting in plan.standing
        }

    def sent(self, part: Log, found: Mapping[Task, Any]) -> Sent:
        """Return everything of the next part: this, and what the passages found."""
        model = found[self._base, False] if self._base else self._means.go_through(part)
        mine = {
            (name, rejecting): one.lived(part) if rejecting else one.target(part)
            for (name, rejecting), one in self._standing.items()
        }
        return Sent.of({**found, **mine}, model)


def send(log: Log, settings: Settings, plan: Plan, progress: bool) -> Sent:
    """Send every policy through a log that is in memory."""
    total = len(plan.passages) * len(log)
    processes = cores() if total > WORTH_PROCESSES else 1
    with tqdm(
        total=total, desc="replaying", unit="decision", file=sys.stderr, disable=not progress
    ) as bar:
        found, cut = run_all(_one_pass, (log, settings), plan.passages, processes, bar)
    if cut:
        raise KeyboardInterrupt
    least = None if log.propensity is None else typical(log.propensity)
    return Bystanders(plan, log.models, settings, least).sent(log, found)


def _one_pass(
    shared: tuple[Log, Settings], task: Task, tick: Callable[[int], object]
) -> Run | list[int]:
    policy, rejecting = task
    log, settings = shared
    least = typical(log.propensity) if rejecting and log.propensity is not None else None
    return Passage(policy, log.models, settings, least).go(log, tick)
