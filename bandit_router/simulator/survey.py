"""What has to be known of a whole log before a policy goes through its first part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InvalidInput
from .archives import check_shadows
from .columns import Columns, of_batch
from .log_arrays import Bills, left_out, silence
from .ope import Array
from .partitions import Partitions
from .passes import SHADOW, TYPICAL


@dataclass(frozen=True, eq=False)
class Survey:
    """A log from afar.

    Attributes
    ----------
    models
        In the order of their first decision.
    decisions, spoken, used
        How many there are, have feedback, and can be evaluated.
    propensities
        Whether those that can be evaluated have one.
    chosen
        How often each model was chosen among them.
    least, typical
        The least propensity, and the quantile that rejection sampling takes for it.
    given, written
        Whether all of them have vectors of one length, or prompts and no vectors.
    logged
        Whether what every model could have been chosen with is known of all of them.
    notes
        What a reader must know of the rest.
    """

    models: tuple[str, ...]
    decisions: int
    spoken: int
    used: int
    propensities: bool
    chosen: Array
    bills: Bills | None
    least: float
    typical: float
    given: bool
    written: bool
    logged: bool
    notes: list[str]

    def usable(self, part: Columns) -> NDArray[np.bool_]:
        """Tell which decisions can be evaluated."""
        spoken = ~np.isnan(part.reward)
        return spoken & ~np.isnan(part.propensity) if self.propensities else spoken


class Source(Protocol):
    """A log that is read part by part, as often as one likes.

    Attributes
    ----------
    path
        For messages.
    rows
        How many decisions it has at most.
    """

    path: Path
    rows: int

    def columns(self) -> Iterator[Columns]:
        """Yield its decisions, some thousand at a time."""

    def close(self) -> None:
        """Be done with it."""


class PlainLog:
    """A log in Parquet that is none of our service's; see `Source`.

    Raises
    ------
    InvalidInput
        If one of the `policies` is a shadow: there are none.
    """

    def __init__(self, log: Partitions, policies: Sequence[str] = ()) -> None:
        check_shadows([n.removeprefix(SHADOW) for n in policies if n.startswith(SHADOW)], ())
        self._log = log
        self.path, self.rows = log.path, log.rows

    def columns(self) -> Iterator[Columns]:
        """Yield its decisions, some thousand at a time."""
        for file, number, batch in self._log.batches():
            yield of_batch(file, number, batch)

    def close(self) -> None:
        """Nothing is held between two readings."""


class _Sums:
    """Sums over decisions with feedback."""

    def __init__(self) -> None:
        self._column: dict[str, int] = {}
        self._sums = np.zeros((0, 4))  # decisions, rewards, bills, what was paid
        self.vectors = 0
        self.lengths: set[int] = set()
        self.prompts = 0
        self.logged = True

    @property
    def models(self) -> tuple[str, ...]:
        """In the order in which they could be chosen, or were."""
        return tuple(self._column)

    def add(self, part: Columns) -> None:
        if not len(part):
            return
        for name in _named(part):
            self._column.setdefault(name, len(self._column))
        missing = np.zeros((len(self._column) - len(self._sums), 4))
        self._sums = np.concatenate([self._sums, missing])
        arm = np.array([self._column.get(name, -1) for name in part.models])[part.action]
        billed = ~np.isnan(part.cost)
        paid = np.where(billed, part.cost, 0.0)
        np.add.at(
            self._sums, arm, np.stack([np.ones(len(part)), part.reward, billed, paid], axis=1)
        )
        given = [] if part.vectors is None else [len(v) for v in part.vectors if v is not None]
        self.vectors += len(given)
        self.lengths.update(given)
        self.prompts += int(part.written.sum())
        self.logged = self.logged and part.chances is not None and None not in part.chances

    def of(self, models: Iterable[str]) -> Array:
        """Return the sums, shape (4, models)."""
        rows = [self._column.get(name) for name in models]
        return np.array([np.zeros(4) if row is None else self._sums[row] for row in rows]).T


def _named(part: Columns) -> Iterable[str]:
    """Return the models of some decisions, those first that come first."""
    if part.eligible is None:
        arms, first = np.unique(part.action, return_index=True)
        return [part.models[arm] for arm in arms[np.argsort(first)]]
    both = zip(part.eligible, part.action, strict=True)
    return dict.fromkeys(name for able, arm in both for name in (*able, part.models[arm]))


def survey(log: Source) -> Survey:
    """Read a log once.

    Raises
    ------
    InvalidInput
        If it is empty, a row cannot be used, or no decision has feedback.
    """
    said: Counter[str] = Counter()
    known, unknown = _Sums(), _Sums()
    lowest = _Lowest(int(TYPICAL * log.rows) + 2)
    everybody = True
    for part in log.columns():
        counts = np.bincount(part.action, minlength=len(part.models)).tolist()
        for name in _named(part) if part.eligible is None else part.models:
            said[name] += counts[part.models.index(name)]
        everybody = everybody and part.eligible is None
        spoken = ~np.isnan(part.reward)
        chance = ~np.isnan(part.propensity)
        known.add(part.taken(spoken & chance))
        unknown.add(part.taken(spoken & ~chance))
        lowest.add(part.propensity[spoken & chance])
    if not said:
        raise InvalidInput(f"{log.path}: the log is empty", "log")
    sums, others = known.of(said), unknown.of(said)
    if not (sums[0].any() or others[0].any()):
        raise InvalidInput(f"{log.path}: no decision has feedback: nothing can be estimated", "log")
    spoken_by = (sums + others)[0].astype(int).tolist()
    notes = silence(said, dict(zip(said, spoken_by, strict=True)))
    if sums[0].any() and others[0].any():
        notes.append(left_out(int(others[0].sum())))
    used = known if sums[0].any() else unknown
    models = tuple(said) if everybody else used.models
    chosen, earned, bills, paid = used.of(models)
    count = int(chosen.sum())
    return Survey(
        models=models,
        decisions=said.total(),
        spoken=sum(spoken_by),
        used=count,
        propensities=used is known,
        chosen=chosen,
        bills=Bills.of_sums(chosen, earned, bills, paid),
        least=lowest.least,
        typical=lowest.quantile(count, TYPICAL),
        given=used.vectors == count and len(used.lengths) == 1,
        written=used.vectors == 0 and used.prompts == count,
        logged=used.logged,
        notes=notes,
    )


class _Lowest:
    """The lowest of many numbers, enough of them for a low quantile to be exact."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._numbers: Array = np.zeros(0)
        self._new: list[Array] = []
        self._waiting = 0
        self._bound = math.inf  # as many as are kept are no higher

    def add(self, numbers: Array) -> None:
        new = numbers[numbers < self._bound]
        self._new.append(new)
        self._waiting += len(new)
        if self._waiting > self._kept:  # rarely: it looks at everything that is kept
            self._settle()

    def _settle(self) -> None:
        both = np.concatenate([self._numbers, *self._new])
        self._new, self._waiting = [], 0
        if len(both) > self._kept:
            both = np.partition(both, self._kept - 1)[: self._kept]
            self._bound = float(both[-1])
        self._numbers = both

    @property
    def least(self) -> float:
        self._settle()
        return float(self._numbers.min()) if len(self._numbers) else math.nan

    def quantile(self, count: int, share: float) -> float:
        """Return what `np.quantile` would of all `count` of them."""
        self._settle()
        if not len(self._numbers):
            return math.nan
        place = share * (count - 1)
        below = math.floor(place)
        low, high = np.sort(self._numbers)[[below, min(below + 1, count - 1)]]
        return float(low + (high - low) * (place - below))
