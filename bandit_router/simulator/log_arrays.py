"""The part of a log that can be evaluated, as arrays over its decisions."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import EmbedderSettings
from ..embedding import CachedEmbedder, make_embedder
from ..exceptions import InvalidInput
from ..router import OWN_VECTORS
from .columns import Columns, of_rows
from .logs import Logged
from .ope import Array
from .overlap import FEW

_UNEVEN = 0.2


@dataclass(frozen=True, eq=False)
class Log:
    """Decisions with feedback, as columns; arrays over decisions.

    `cost` is nan where the log has none; `eligible` None where every arm always is; `logging`
    the logging policy's probability of every arm, shape (n, arms), None unless all are known;
    `shadows` is of a log of ours only.
    """

    models: tuple[str, ...]
    prompts: NDArray[np.object_]
    eligible: list[tuple[str, ...]] | None
    shadows: list[Mapping[str, tuple[float, ...]]] | None
    vectors: NDArray[np.float32] | None
    action: NDArray[np.int64]
    reward: Array
    cost: Array
    propensity: Array | None
    logging: Array | None
    bills: Bills | None

    def __len__(self) -> int:
        return len(self.action)

    @cached_property
    def paid(self) -> Array:
        """The bills, shape (n,); an arm's mean where one is missing."""
        if self.bills is None:
            return self.cost
        return np.where(np.isnan(self.cost), self.bills.typical[self.action], self.cost)

    def filled(self, cost: Array) -> Array:
        """Fill what is not known of an arm's cost, (n, arms), with its mean bill, or all arms'."""
        return cost if self.bills is None else np.where(np.isnan(cost), self.bills.typical, cost)

    @property
    def has_cost(self) -> bool:
        """Whether any cost is known."""
        return self.bills is not None

    @property
    def reference_cost_usd(self) -> float:
        """See `Bills.reference`; 1 where no cost is known."""
        return 1.0 if self.bills is None else self.bills.reference


@dataclass(frozen=True, eq=False)
class Bills:
    """What is typically paid.

    Attributes
    ----------
    typical
        Each arm's mean bill; all arms' where an arm has none.
    reference
        Mean cost of the model with the highest mean reward among those with a cost.
    """

    typical: Array
    reference: float

    @classmethod
    def of(cls, action: NDArray[np.int64], reward: Array, cost: Array, arms: int) -> Bills | None:
        """Return them of columns of a log; None if there is no cost."""
        here = np.isfinite(cost)
        count = np.bincount(action, minlength=arms).astype(np.float64)
        earned = np.bincount(action, reward, arms).astype(np.float64)
        bills = np.bincount(action[here], minlength=arms).astype(np.float64)
        paid = np.bincount(action[here], cost[here], arms).astype(np.float64)
        return cls.of_sums(count, earned, bills, paid)

    @classmethod
    def of_sums(cls, count: Array, earned: Array, bills: Array, paid: Array) -> Bills | None:
        """Return them of each arm's decisions and rewards, and of its bills and their sum."""
        if not bills.sum():
            return None
        some = bills > 0
        typical = np.full(len(count), paid.sum() / bills.sum())
        typical[some] = paid[some] / bills[some]
        best = max(zip(earned[some] / count[some], typical[some], strict=True))[1]
        return cls(typical, float(best) if best > 0 else 1.0)


def prepare(
    path: Path, everything: list[Logged], embedder: str, progress: bool
) -> tuple[Log, list[str]]:
    """Return the part of a log that can be evaluated, and what a reader must know of the rest."""
    rows = [row for row in everything if row.reward is not None]
    if not rows:
        raise InvalidInput(f"{path}: no decision has feedback: nothing can be estimated", "log")
    of = Counter(row.model for row in everything)
    notes = silence(of, Counter(row.model for row in everything if row.reward is not None))
    known = [row for row in rows if row.propensity is not None]
    if known and len(known) < len(rows):
        notes.append(left_out(len(rows) - len(known)))
        rows = known
    columns = of_rows(rows)
    vectors = vectors_of(rows, EmbedderSettings(name=embedder), progress)
    log = as_log(columns, columns.models, vectors, bool(known))
    return replace(log, bills=Bills.of(log.action, log.reward, log.cost, len(log.models))), notes


def as_log(
    columns: Columns,
    models: tuple[str, ...],
    vectors: NDArray[np.float32] | None,
    with_propensity: bool,
) -> Log:
    """Return decisions that can be evaluated, among the `models` of a whole log."""
    column = {name: i for i, name in enumerate(models)}
    eligible = columns.eligible
    if eligible is not None:
        eligible = [able or models for able in eligible]
        if all(able == models for able in set(eligible)):
            eligible = None
    return Log(
        models=models,
        prompts=columns.prompts,
        eligible=eligible,
        shadows=columns.shadows,
        vectors=vectors,
        action=np.array([column.get(name, -1) for name in columns.models])[columns.action],
        reward=columns.reward,
        cost=columns.cost,
        propensity=columns.propensity if with_propensity else None,
        logging=_logging(columns, column),
        bills=None,
    )


def left_out(count: int) -> str:
    """Say that decisions are not evaluated, and why."""
    return f"{count:,} decisions without a propensity are left out."


def silence(decisions: Mapping[str, int], spoken: Mapping[str, int]) -> list[str]:
    """Tell if feedback is missing more for some models than for others."""
    share = {name: spoken[name] / of for name, of in decisions.items() if of >= FEW}
    if not share or max(share.values()) - min(share.values()) < _UNEVEN:
        return []
    most, least = (pick(share, key=lambda name: share[name]) for pick in (max, min))
    return [
        f"Feedback came for {share[most]:.0%} of the decisions of {most}, but {share[least]:.0%} "
        f"of those of {least}: the estimates take it that the silent are like those who speak."
    ]


def _logging(columns: Columns, column: dict[str, int]) -> Array | None:
    if columns.chances is None or columns.eligible is None or None in columns.chances:
        return None
    out = np.zeros((len(columns), len(column)))
    both = zip(columns.eligible, columns.chances, strict=True)
    for i, (eligible, chances) in enumerate(both):
        out[i, [column[name] for name in eligible]] = chances
    return out


def vectors_of(
    rows: list[Logged], settings: EmbedderSettings, progress: bool
) -> NDArray[np.float32] | None:
    """Return the embeddings of a log, encoding prompts if need be; None if it has neither."""
    given = [row.vector for row in rows if row.vector is not None]
    if len(given) == len(rows) and len({len(v) for v in given}) == 1:
        return np.stack(given)
    prompts = [row.prompt for row in rows if row.prompt is not None]
    if given or len(prompts) < len(rows) or settings.name == OWN_VECTORS:
        return None
    with tqdm(
        total=len(prompts), desc="embedding", unit="prompt", file=sys.stderr, disable=not progress
    ) as bar:
        embedder = make_embedder(settings, auto="torch")
        return CachedEmbedder(embedder, progress=bar.update).encode(prompts)
