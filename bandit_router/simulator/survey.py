"""What has to be known of a whole log before a policy goes through its first part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..exceptions import InvalidInput
from .log_arrays import Bills, left_out, silence
from .logs import Logged, of_row
from .ope import Array
from .partitions import Partitions
from .passes import TYPICAL


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
    notes: list[str]

    def usable(self, row: Logged) -> bool:
        """Tell whether a decision can be evaluated."""
        return row.reward is not None and (not self.propensities or row.propensity is not None)


def rows_of(log: Partitions) -> Iterator[list[Logged]]:
    """Yield a log's decisions, some thousand at a time."""
    for part in log.parts():
        yield [of_row(where, row) for where, row in part]


class _Sums:
    """Sums over decisions with feedback."""

    def __init__(self) -> None:
        self.by_model: dict[str, Array] = {}  # decisions, rewards, bills, what was paid
        self.vectors = 0
        self.lengths: set[int] = set()
        self.prompts = 0

    def add(self, row: Logged) -> None:
        paid = row.cost_usd
        sums = self.by_model.setdefault(row.model, np.zeros(4))
        sums += (1.0, row.reward or 0.0, float(paid is not None), paid or 0.0)
        if row.vector is not None:
            self.vectors += 1
            self.lengths.add(len(row.vector))
        self.prompts += row.prompt is not None

    def of(self, models: Iterable[str]) -> Array:
        """Return the sums, shape (4, models)."""
        return np.array([self.by_model.get(name, np.zeros(4)) for name in models]).T


def survey(log: Partitions) -> Survey:
    """Read a log once.

    Raises
    ------
    InvalidInput
        If it is empty, a row cannot be used, or no decision has feedback.
    """
    said: Counter[str] = Counter()
    known, unknown = _Sums(), _Sums()
    lowest = _Lowest(int(TYPICAL * log.rows) + 2)
    for rows in rows_of(log):
        said.update(row.model for row in rows)
        spoken = [row for row in rows if row.reward is not None]
        for row in spoken:
            (unknown if row.propensity is None else known).add(row)
        lowest.add(np.array([r.propensity for r in spoken if r.propensity is not None]))
    if not said:
        raise InvalidInput(f"{log.path}: the log is empty", "log")
    models = tuple(said)
    sums, others = known.of(models), unknown.of(models)
    if not (sums[0].any() or others[0].any()):
        raise InvalidInput(f"{log.path}: no decision has feedback: nothing can be estimated", "log")
    spoken_by = (sums + others)[0].astype(int).tolist()
    notes = silence(said, dict(zip(models, spoken_by, strict=True)))
    if sums[0].any() and others[0].any():
        notes.append(left_out(int(others[0].sum())))
    used = known if sums[0].any() else unknown
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
        notes=notes,
    )


class _Lowest:
    """The lowest of many numbers, enough of them for a low quantile to be exact."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._numbers: Array = np.zeros(0)

    def add(self, numbers: Array) -> None:
        both = np.concatenate([self._numbers, numbers])
        self._numbers = both if len(both) <= self._kept else np.partition(both, self._kept)
        self._numbers = self._numbers[: self._kept]

    @property
    def least(self) -> float:
        return float(self._numbers.min()) if len(self._numbers) else math.nan

    def quantile(self, count: int, share: float) -> float:
        """Return what `np.quantile` would of all `count` of them."""
        if not len(self._numbers):
            return math.nan
        place = share * (count - 1)
        below = math.floor(place)
        low, high = np.sort(self._numbers)[[below, min(below + 1, count - 1)]]
        return float(low + (high - low) * (place - below))
