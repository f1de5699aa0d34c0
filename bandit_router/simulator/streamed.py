"""Asking a log that is too long for memory: the same estimates, part after part.

The log is read twice: once to see what is in it (`survey`), once to send every policy through
it. Of what a policy says of a decision only sums are kept (`moments`), among them the products
by which policies are compared; they give the same values and intervals as all terms would.
Each policy has to see decisions in order, so that a policy is the unit of work: processes share
the policies among them, and every process is given every part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import EmbedderSettings, Settings
from ..cores import cores
from ..embedding import make_embedder
from ..exceptions import InvalidInput
from ..router import OWN_VECTORS
from .columns import Columns
from .log_arrays import Log, as_log
from .ope import Clip, Interval
from .parallel import Lane
from .passes import Passage, Run
from .plan import WORTH_PROCESSES, Bystanders, Plan, Task
from .standing import RewardModel
from .survey import Source, Survey, survey
from .tally import Tally
from .targets import as_json, check, with_weight
from .verdict import compared, sound

Encode = Callable[[list[str]], NDArray[np.float32]]


def replay_parts(
    log: Source,
    policies: Sequence[str],
    *,
    embedder: str,
    clip: str,
    interval: Interval,
    cost_weight: float,
    reward_model: RewardModel,
    settings: Settings,
    progress: bool,
) -> dict[str, Any]:
    """Estimate policies on a log of any length; see `replay.replay`.

    Raises
    ------
    InvalidInput
        If the log or a name cannot be used, or an interval needs all terms at once.
    """
    if interval == "bootstrap":
        raise InvalidInput(
            f"{log.path} is replayed in parts, and resampling needs all of it at once: "
            "give normal or bernstein",
            "interval",
        )
    seen = survey(log)
    if cost_weight and seen.bills is None:
        raise InvalidInput(
            f"{log.path} has no costs: a cost weight means nothing here", "cost_weight"
        )
    wanted = list(dict.fromkeys(policies))
    check(wanted, seen.models)
    reference = 1.0 if seen.bills is None else seen.bills.reference
    limit = Clip.parse(clip).of(seen.used)
    tally = Tally(seen, wanted, cost_weight, limit)
    settings = with_weight(settings, cost_weight, reference)
    plan = Plan.of(
        wanted,
        settings,
        reward_model=reward_model,
        placed=seen.given or (seen.written and embedder != OWN_VECTORS),
        propensities=seen.propensities,
    )
    _go(log, seen, tally, plan, settings, embedder, progress)
    support = {name: tally.overlap(name) for name in tally.names}
    bills = {name: tally.bill(name) for name in tally.names} if seen.bills is not None else {}
    return {
        "log": {
            "decisions": seen.decisions,
            "with_feedback": seen.spoken,
            "ess_warning": any(support[name].verdict != "good" for name in wanted),
            "models": list(seen.models),
            "cost_weight": cost_weight,
            "clip": clip,
            "interval": interval,
            "reward_model": reward_model,
            "notes": seen.notes,
        },
        "policies": {
            name: {
                "estimators": {
                    kind: as_json(found)
                    for kind, found in tally.estimates(name, support[name], interval).items()
                },
                "cost_usd": as_json(bills[name]) if bills else None,
                "overlap": msgspec.to_builtins(support[name]),
            }
            for name in wanted
        },
        "worth_it": compared(
            tally.values(),
            {name: bill.value for name, bill in bills.items()},
            tally.gain(sound(interval)),
            support,
            wanted,
            seen.models,
        ),
    }


def _go(
    log: Source,
    seen: Survey,
    tally: Tally,
    plan: Plan,
    settings: Settings,
    embedder: str,
    progress: bool,
) -> None:
    """Send every policy through the log."""
    tasks = plan.passages
    count = min(cores(), len(tasks)) if seen.used * len(tasks) > WORTH_PROCESSES else 1
    shares = [tasks[i::count] for i in range(count)] if tasks else []
    work = (seen.models, settings, seen.typical)
    lanes = [Lane(Convoy, (*work, share), apart=count > 1) for share in shares]
    others = Bystanders(plan, seen.models, settings, seen.typical)
    encode = None
    if tasks and seen.written and embedder != OWN_VECTORS:
        encode = make_embedder(EmbedderSettings(name=embedder), auto="torch").encode
    under_way: tuple[Log, list[Future[Any]]] | None = None

    def settle(part: Log, futures: list[Future[Any]]) -> None:
        found: dict[Task, Any] = {}
        for future in futures:
            found |= future.result()
        tally.add(part, others.sent(part, found))
        bar.update(len(part))

    with tqdm(
        total=seen.used, desc="replaying", unit="decision", file=sys.stderr, disable=not progress
    ) as bar:
        try:
            for part in _parts(log, seen, encode):
                futures = [lane.submit(part) for lane in lanes]
                if under_way is not None:  # while the next part is on its way
                    settle(*under_way)
                under_way = part, futures
            if under_way is not None:
                settle(*under_way)
        finally:
            for lane in lanes:
                lane.close()


def _parts(log: Source, seen: Survey, encode: Encode | None) -> Iterator[Log]:
    """Yield what can be evaluated of a log."""
    for everything in log.columns():
        columns = everything.taken(seen.usable(everything))
        if len(columns):
            vectors = _vectors(columns, seen, encode)
            part = as_log(columns, seen.models, vectors, seen.propensities)
            logging = part.logging if seen.logged else None
            yield replace(part, bills=seen.bills, logging=logging)


def _vectors(columns: Columns, seen: Survey, encode: Encode | None) -> NDArray[np.float32] | None:
    if seen.given:
        assert columns.vectors is not None
        return np.stack([vector for vector in columns.vectors if vector is not None])
    return None if encode is None else encode([prompt or "" for prompt in columns.prompts])


class Convoy:
    """Some of the policies, on their way through a log in one process."""

    def __init__(
        self, models: tuple[str, ...], settings: Settings, least: float, tasks: Sequence[Task]
    ) -> None:
        self._passages = {
            (name, rejecting): Passage(name, models, settings, least if rejecting else None)
            for name, rejecting in tasks
        }

    def __call__(self, part: Log) -> dict[Task, Run | list[int]]:
        """Go through the next part."""
        return {task: passage.go(part) for task, passage in self._passages.items()}
