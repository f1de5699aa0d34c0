"""Asking a log that is too long for memory: the same estimates, part after part.

The log is read twice: once to see what is in it (`survey`), once to send every policy through
it. Of what a policy says of a decision only sums are kept (`moments`), among them the products
by which policies are compared; they give the same values and intervals as all terms would.
Each policy has to see decisions in order, so that a policy is the unit of work: processes share
the policies among them, and every process is given every part.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import EmbedderSettings, Settings
from ..embedding import make_embedder
from ..exceptions import InvalidInput
from ..router import OWN_VECTORS
from .log_arrays import Log, as_arrays
from .logs import Logged
from .moments import Moments
from .ope import (
    NOTHING,
    Array,
    Clip,
    Estimate,
    Interval,
    doubly_robust,
    half_width,
    spread_of,
)
from .overlap import MOSTLY, Overlap, judged, missed, unknown
from .parallel import Lane
from .partitions import Partitions
from .passes import SHADOW, WORTH_PROCESSES, Passage, Run, constant, todo
from .survey import Survey, rows_of, survey
from .targets import as_json, base_policy, check, cost_of, value_of, with_weight
from .verdict import Gain, compared, sound

Encode = Callable[[list[str]], NDArray[np.float32]]
Task = tuple[str, bool]


def replay_parts(
    log: Partitions,
    policies: Sequence[str],
    *,
    embedder: str,
    clip: str,
    interval: Interval,
    cost_weight: float,
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
    for name in wanted:
        if name.startswith(SHADOW):
            strategy = name.removeprefix(SHADOW)
            raise InvalidInput(
                f"no shadow {strategy!r} in this log; it is no log of our service", "policy"
            )
    reference = 1.0 if seen.bills is None else seen.bills.reference
    limit = Clip.parse(clip).of(seen.used)
    tally = Tally(seen, wanted, cost_weight, limit)
    _go(log, seen, tally, with_weight(settings, cost_weight, reference), embedder, progress)
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
    log: Partitions,
    seen: Survey,
    tally: Tally,
    settings: Settings,
    embedder: str,
    progress: bool,
) -> None:
    """Send every policy through the log."""
    base = base_policy(seen.given or (seen.written and embedder != OWN_VECTORS))
    tasks = todo(base, tally.wanted, seen.propensities)
    cores = os.cpu_count() or 1
    count = min(cores, len(tasks)) if seen.used * len(tasks) > WORTH_PROCESSES else 1
    shares = [tasks[i::count] for i in range(count)]
    work = (seen.models, settings, seen.typical)
    lanes = [Lane(Convoy, (*work, share), apart=count > 1) for share in shares]
    encode = None
    if seen.written and embedder != OWN_VECTORS:
        encode = make_embedder(EmbedderSettings(name=embedder), auto="torch").encode
    under_way: tuple[Log, list[Future[Any]]] | None = None

    def settle(part: Log, futures: list[Future[Any]]) -> None:
        found: dict[Task, Any] = {}
        for future in futures:
            found |= future.result()
        tally.add(part, base, found)
        bar.update(len(part.rows))

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


def _parts(log: Partitions, seen: Survey, encode: Encode | None) -> Iterator[Log]:
    """Yield what can be evaluated of a log, as columns."""
    for everything in rows_of(log):
        rows = [replace(row, eligible=seen.models) for row in everything if seen.usable(row)]
        if rows:
            part = as_arrays(rows, seen.models, _vectors(rows, seen, encode), seen.propensities)
            yield replace(part, bills=seen.bills)


def _vectors(rows: list[Logged], seen: Survey, encode: Encode | None) -> NDArray[np.float32] | None:
    if seen.given:
        return np.stack([row.vector for row in rows if row.vector is not None])
    return None if encode is None else encode([row.prompt or "" for row in rows])


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


_WEIGHTED, _WEIGHT, _ROBUST, _DIRECT, _RAW, _BILL = range(6)


class Tally:
    """Sums over the decisions of a log, of every policy and of always the same model.

    Parameters
    ----------
    clip
        What is done to large weights, not ``auto``.
    """

    def __init__(self, seen: Survey, wanted: list[str], cost_weight: float, clip: Clip) -> None:
        self.wanted = wanted
        self.names = list(dict.fromkeys([*wanted, *(f"fixed:{m}" for m in seen.models)]))
        self._seen = seen
        self._cost_weight = cost_weight
        self._clip = clip
        self._sums = {name: Moments(6) for name in self.names}
        self._lived = {name: Moments(1) for name in wanted}
        self._largest = dict.fromkeys(self.names, 0.0)
        self._low = dict.fromkeys(self.names, np.inf)
        self._high = dict.fromkeys(self.names, -np.inf)
        self._missed = {name: np.zeros(len(seen.models)) for name in self.names}
        self._terms = Moments(len(self.names))

    @property
    def rows(self) -> int:
        """How many decisions were taken."""
        return self._terms.count

    def add(self, part: Log, base: str, found: Mapping[Task, Any]) -> None:
        """Take what every policy said of a part."""
        model: Run = found[base, False]
        terms = []
        for name in self.names:
            if name.startswith("fixed:"):
                column = self._seen.models.index(name.removeprefix("fixed:"))
                run = constant(part, column, model)
            else:
                run = found[name, False]
            terms.append(self._add(name, part, run.target, model))
            if (name, True) in found and (kept := found[name, True]):
                value = value_of(part, run.target, model, self._cost_weight, self._clip).reward
                self._lived[name].add(value[kept][:, None])
        self._terms.add(np.stack(terms, axis=1))

    def _add(self, name: str, part: Log, target: Array, model: Run) -> Array:
        seen = value_of(part, target, model, self._cost_weight, self._clip)
        bill = cost_of(part, target, model, self._clip)
        columns = np.zeros((len(part.rows), 6))
        direct = columns[:, _DIRECT] = seen.direct
        terms = direct
        if seen.propensity is not None:
            raw, weights = seen.raw_weights, seen.weights
            terms = doubly_robust(seen)
            columns[:, _RAW], columns[:, _WEIGHT] = raw, weights
            columns[:, _WEIGHTED], columns[:, _ROBUST] = weights * seen.reward, terms
            self._largest[name] = max(self._largest[name], float(raw.max()))
            self._missed[name] += missed(target, self._seen.chosen, None).sum(axis=0)
        if bill is not None:
            columns[:, _BILL] = bill.direct if bill.propensity is None else doubly_robust(bill)
        self._low[name] = min(self._low[name], float(direct.min()))
        self._high[name] = max(self._high[name], float(direct.max()))
        self._sums[name].add(columns)
        return terms

    def overlap(self, name: str) -> Overlap:
        """Judge how far the log supports a policy."""
        if not self._seen.propensities:
            return unknown()
        sums = self._sums[name]
        return judged(
            self._seen.models,
            n=sums.count,
            ess=_ess(sums, _RAW),
            mean=float(sums.mean[_RAW]),
            deviation=sums.deviation(_unit(_RAW), ddof=0),
            largest=self._largest[name],
            missed=self._missed[name] / sums.count,
        )

    def estimates(self, name: str, support: Overlap, how: Interval) -> dict[str, Estimate]:
        """Return every estimate, nothing where the log never made most of the choices."""
        sums = self._sums[name]
        between = self._high[name] - self._low[name]
        direct = _mean(sums, _unit(_DIRECT), how, between, float(sums.count))
        if not self._seen.propensities:
            return {"dm": direct}
        highest = self._clip.highest(sums.count, self._seen.least)
        ess, plain = _ess(sums, _WEIGHT), spread_of(highest, 0.0)
        found = {
            "ips": _mean(sums, _unit(_WEIGHTED), how, plain, ess),
            "snips": NOTHING,
            "dm": direct,
            "dr": _mean(sums, _unit(_ROBUST), how, spread_of(highest, -1.0), ess),
        }
        if (weight := float(sums.mean[_WEIGHT])) > 0:
            value = float(sums.mean[_WEIGHTED]) / weight
            residual = (_unit(_WEIGHTED) - value * _unit(_WEIGHT)) / weight
            found["snips"] = _around(value, sums, residual, how, plain / weight, ess)
        if support.unseen > MOSTLY or support.ess == 0:
            found |= dict.fromkeys(("ips", "snips", "dr"), NOTHING)
        lived = self._lived[name]
        first = np.ones(1)
        kept = _mean(lived, first, "normal", 1.0, float(lived.count)) if lived.count else NOTHING
        return found | {"replay": kept}

    def bill(self, name: str) -> Estimate:
        """Return what a policy costs a decision."""
        sums = self._sums[name]
        ess = _ess(sums, _WEIGHT) if self._seen.propensities else float(sums.count)
        return _mean(sums, _unit(_BILL), "normal", 1.0, ess)

    def values(self) -> dict[str, float]:
        """Return the mean of the terms by which policies are compared."""
        return dict(zip(self.names, self._terms.mean.tolist(), strict=True))

    def gain(self, how: Interval) -> Callable[[str, Mapping[str, float], float], Gain]:
        """Return what tells a policy's gain over a mix of others, for `verdict.compared`."""

        def gain(policy: str, mix: Mapping[str, float], level: float) -> Gain:
            weights = np.zeros(len(self.names))
            weights[self.names.index(policy)] = 1.0
            for name, share in mix.items():
                weights[self.names.index(name)] -= share
            value = float(self._terms.mean @ weights)
            found = _around(value, self._terms, weights, how, 1.0, 0.0, level)
            return found.value, found.ci

        return gain


def _unit(column: int) -> Array:
    out = np.zeros(6)
    out[column] = 1.0
    return out


def _ess(sums: Moments, column: int) -> float:
    square = sums.sum_of_squares(column)
    return (sums.count * float(sums.mean[column])) ** 2 / square if square > 0 else 0.0


def _mean(sums: Moments, weights: Array, how: Interval, spread: float, ess: float) -> Estimate:
    return _around(float(sums.mean @ weights), sums, weights, how, spread, ess)


def _around(
    value: float,
    sums: Moments,
    weights: Array,
    how: Interval,
    spread: float,
    ess: float,
    level: float = 0.95,
) -> Estimate:
    if sums.count < 2:
        return Estimate(value, (np.nan, np.nan), ess)
    half = half_width(sums.deviation(weights), sums.count, how, spread, level)
    return Estimate(value, (value - half, value + half), ess)
