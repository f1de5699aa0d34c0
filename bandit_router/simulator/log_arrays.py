"""The part of a log that can be evaluated, as arrays over its decisions."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import EmbedderSettings
from ..embedding import CachedEmbedder, make_embedder
from ..exceptions import InvalidInput
from ..router import OWN_VECTORS
from .logs import Logged
from .ope import Array
from .overlap import FEW

_UNEVEN = 0.2


@dataclass(frozen=True, eq=False)
class Log:
    """Decisions with feedback, as columns; arrays over decisions.

    `cost` is nan where the log has none; `logging` the logging policy's probability of every
    arm, shape (n, arms), None unless all are known.
    """

    rows: list[Logged]
    models: tuple[str, ...]
    vectors: NDArray[np.float32] | None
    action: NDArray[np.int64]
    reward: Array
    cost: Array
    propensity: Array | None
    logging: Array | None
    bills: Bills | None

    @property
    def paid(self) -> Array:
        """The bills, shape (n,); an arm's mean where one is missing."""
        gaps = self.filled(np.full((len(self.rows), len(self.models)), np.nan))
        own = gaps[np.arange(len(self.rows)), self.action]
        return np.where(np.isnan(self.cost), own, self.cost)

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
    models = tuple(dict.fromkeys(name for row in rows for name in (*row.eligible, row.model)))
    column = {name: i for i, name in enumerate(models)}
    vectors = vectors_of(rows, EmbedderSettings(name=embedder), progress)
    log = as_arrays(rows, models, vectors, bool(known))
    bills = Bills.of(log.action, log.reward, log.cost, len(models))
    return replace(log, bills=bills, logging=_logging(rows, column)), notes


def as_arrays(
    rows: list[Logged],
    models: tuple[str, ...],
    vectors: NDArray[np.float32] | None,
    with_propensity: bool,
) -> Log:
    """Return decisions as columns."""
    column = {name: i for i, name in enumerate(models)}
    cost = [np.nan if row.cost_usd is None else row.cost_usd for row in rows]
    return Log(
        rows=rows,
        models=models,
        vectors=vectors,
        action=np.array([column[row.model] for row in rows]),
        reward=np.array([row.reward for row in rows], dtype=np.float64),
        cost=np.array(cost, dtype=np.float64),
        propensity=np.array([row.propensity for row in rows]) if with_propensity else None,
        logging=None,
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


def _logging(rows: list[Logged], column: dict[str, int]) -> Array | None:
    if any(row.chances is None for row in rows):
        return None
    out = np.zeros((len(rows), len(column)))
    for i, row in enumerate(rows):
        out[i, [column[name] for name in row.eligible]] = row.chances
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
