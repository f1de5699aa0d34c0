"""The candidates of a decision: a table of numbers until somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What a policy believed of one eligible arm when it chose.

    `quality` is the posterior mean; `quality_sd` its standard deviation before sharpening.
    `draw` is the sampled utility (None for a policy that does not sample). `evidence` is the
    weight of feedback behind the estimate in this cluster; `support` that over the whole map, and
    around the prompt at each level of it, coarsest first, where neighbours count by nearness.
    """

    model: str
    propensity: float
    quality: float | None = None
    quality_sd: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    utility: float | None = None
    draw: float | None = None
    evidence: float = 0.0
    support: tuple[float, ...] = ()


PROPENSITY, QUALITY, QUALITY_SD, COST_USD, LATENCY_MS, UTILITY, DRAW, EVIDENCE, SUPPORT = range(9)
"""Columns of `Candidates`, in the order of a `Candidate`'s fields; `SUPPORT` is the first of
several."""


class Candidates(Sequence[Candidate]):
    """Candidates as rows of one table; equal to a tuple of them, and logged as one.

    Of the decisions that are made, and of the 50,000 that are held, few are looked at. An encoder
    of msgspec knows no such sequence: give it ``enc_hook=plain``.

    Parameters
    ----------
    models
        Their names.
    table
        Shape (candidates, columns), float64, not to be written to; a cost or latency of nan is
        unknown.
    """

    __slots__ = ("models", "table")

    def __init__(self, models: tuple[str, ...], table: NDArray[np.float64]) -> None:
        self.models = models
        self.table = table

    def of(self, model: str) -> Candidate | None:
        """Return the candidate of this name, or None."""
        if model not in self.models:
            return None
        return _candidate(model, self.table[self.models.index(model)].tolist())

    def number(self, model: str, column: int) -> float:
        """Return what a column says of a model."""
        return self.table.item(self.models.index(model), column)

    @property
    def best(self) -> str:
        """The name of the candidate of the highest expected utility, the first if several are."""
        utility: list[float] = self.table[:, UTILITY].tolist()
        return self.models[utility.index(max(utility))]

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        return _candidate(self.models[index], self.table[index].tolist())

    def __iter__(self) -> Iterator[Candidate]:
        return map(_candidate, self.models, self.table.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Candidates | tuple):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)


def plain(value: Any) -> Any:
    """Return a table of candidates as a tuple: what msgspec asks for (`enc_hook`) to write one.

    Examples
    --------
    >>> table = Candidates(("small",), np.array([[1.0, *[np.nan] * 6, 0.0]]))
    >>> msgspec.json.decode(msgspec.json.encode(table, enc_hook=plain))[0]["model"]
    'small'
    """
    if isinstance(value, Candidates):
        return tuple(value)
    raise TypeError(f"a {type(value).__name__} cannot be written")


def rows(candidates: Sequence[Candidate]) -> tuple[Sequence[str], list[list[Any]]]:
    """Return the names of candidates, and of each the columns; an unknown number is None or nan.

    To make a `Candidate` of each takes as long again as to answer with them.

    Examples
    --------
    >>> rows((Candidate("small", 1.0, support=(3.0, 2.0)),))
    (['small'], [[1.0, None, None, None, None, None, None, 0.0, 3.0, 2.0]])
    """
    if isinstance(candidates, Candidates):
        return candidates.models, candidates.table.tolist()
    names = [c.model for c in candidates]
    return names, [[*msgspec.structs.astuple(c)[1:-1], *c.support] for c in candidates]


def _candidate(model: str, row: list[float]) -> Candidate:
    chance, quality, sd, cost, latency, utility, draw, evidence = row[:SUPPORT]
    return Candidate(
        model,
        chance,
        quality,
        sd,
        cost if cost == cost else None,  # nan: unknown
        latency if latency == latency else None,
        utility,
        draw,
        evidence,
        tuple(row[SUPPORT:]),
    )
