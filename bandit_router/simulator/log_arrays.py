"""The part of a log that can be evaluated, as arrays over its decisions."""

from __future__ import annotations

import sys
from dataclasses import dataclass
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

    @property
    def paid(self) -> Array:
        """The bills, shape (n,); an arm's mean where one is missing."""
        gaps = self.filled(np.full((len(self.rows), len(self.models)), np.nan))
        own = gaps[np.arange(len(self.rows)), self.action]
        return np.where(np.isnan(self.cost), own, self.cost)

    def filled(self, cost: Array) -> Array:
        """Fill what is not known of an arm's cost, (n, arms), with its mean bill, or all arms'."""
        if not self.has_cost:
            return cost
        everybody = float(np.nanmean(self.cost))
        for column in range(len(self.models)):
            own = self.cost[self.action == column]
            typical = float(np.nanmean(own)) if np.isfinite(own).any() else everybody
            cost[np.isnan(cost[:, column]), column] = typical
        return cost

    @property
    def has_cost(self) -> bool:
        """Whether any cost is known."""
        return bool(np.isfinite(self.cost).any())

    @property
    def reference_cost_usd(self) -> float:
        """Mean cost of the model with the highest mean reward among those with a cost."""
        means = [
            (float(self.reward[here].mean()), float(np.nanmean(self.cost[here])))
            for column in range(len(self.models))
            for here in (self.action == column,)
            if np.isfinite(self.cost[here]).any()
        ]
        return max(means)[1] if means and max(means)[1] > 0 else 1.0


def prepare(
    path: Path, everything: list[Logged], embedder: str, progress: bool
) -> tuple[Log, list[str]]:
    """Return the part of a log that can be evaluated, and what a reader must know of the rest."""
    rows = [row for row in everything if row.reward is not None]
    if not rows:
        raise InvalidInput(f"{path}: no decision has feedback: nothing can be estimated", "log")
    notes = _silence(everything)
    known = [row for row in rows if row.propensity is not None]
    if known and len(known) < len(rows):
        left = len(rows) - len(known)
        notes.append(f"{left:,} decisions without a propensity are left out.")
        rows = known
    models = tuple(dict.fromkeys(name for row in rows for name in (*row.eligible, row.model)))
    column = {name: i for i, name in enumerate(models)}
    cost = [np.nan if row.cost_usd is None else row.cost_usd for row in rows]
    log = Log(
        rows=rows,
        models=models,
        vectors=vectors_of(rows, EmbedderSettings(name=embedder), progress),
        action=np.array([column[row.model] for row in rows]),
        reward=np.array([row.reward for row in rows], dtype=np.float64),
        cost=np.array(cost, dtype=np.float64),
        propensity=np.array([row.propensity for row in known]) if known else None,
        logging=_logging(rows, column),
    )
    return log, notes


def _silence(everything: list[Logged]) -> list[str]:
    """Tell if feedback is missing more for some models than for others."""
    share = {}
    for name in dict.fromkeys(row.model for row in everything):
        of = [row.reward is not None for row in everything if row.model == name]
        if len(of) >= FEW:
            share[name] = sum(of) / len(of)
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
