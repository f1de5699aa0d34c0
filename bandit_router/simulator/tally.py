"""Estimates of policies from sums over the decisions of a log that comes in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .log_arrays import Log
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
from .passes import SHADOW, Run, constant, shadowed
from .plan import Sent
from .survey import Survey
from .targets import cost_of, value_of
from .verdict import Gain

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
        self._lived = {name: Moments(1) for name in wanted if not name.startswith(SHADOW)}
        self._largest = dict.fromkeys(self.names, 0.0)
        self._low = dict.fromkeys(self.names, np.inf)
        self._high = dict.fromkeys(self.names, -np.inf)
        self._missed = {name: np.zeros(len(seen.models)) for name in self.names}
        self._terms = Moments(len(self.names))

    @property
    def rows(self) -> int:
        """How many decisions were taken."""
        return self._terms.count

    def add(self, part: Log, sent: Sent) -> None:
        """Take what every policy said of a part."""
        terms = []
        for name in self.names:
            if name.startswith("fixed:"):
                target = constant(part, self._seen.models.index(name.removeprefix("fixed:")))
            elif name.startswith(SHADOW):
                target = shadowed(part, name.removeprefix(SHADOW))
            else:
                target = sent.targets[name]
            terms.append(self._add(name, part, target, sent.model))
            if kept := sent.lived.get(name):
                value = value_of(part, target, sent.model, self._cost_weight, self._clip).reward
                self._lived[name].add(value[kept][:, None])
        self._terms.add(np.stack(terms, axis=1))

    def _add(self, name: str, part: Log, target: Array, model: Run) -> Array:
        seen = value_of(part, target, model, self._cost_weight, self._clip)
        bill = cost_of(part, target, model, self._clip)
        columns = np.zeros((len(part), 6))
        direct = columns[:, _DIRECT] = seen.direct
        terms = direct
        if seen.propensity is not None:
            raw, weights = seen.raw_weights, seen.weights
            terms = doubly_robust(seen)
            columns[:, _RAW], columns[:, _WEIGHT] = raw, weights
            columns[:, _WEIGHTED], columns[:, _ROBUST] = weights * seen.reward, terms
            self._largest[name] = max(self._largest[name], float(raw.max()))
            self._missed[name] += missed(target, self._seen.chosen, part.logging).sum(axis=0)
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
        if (lived := self._lived.get(name)) is None:  # a shadow, which is not sent anew
            return found
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
