"""Decisions of a log as columns: some thousand at once cost what one by one does.

What is read from Parquet stays in columns. A part in which anything looks odd is read again row by
row, by `logs.of_row`, which finds what is wrong and says where, or that nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import is_model_name
from ..exceptions import InvalidInput
from ..vectors import Vector, unit
from .logs import LEAST_PROPENSITY, MAX_USD, Logged, of_row
from .ope import Array
from .partitions import rows_of_batch

_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())  # what `str.strip` takes away


@dataclass(frozen=True, eq=False)
class Columns:
    """Decisions, with and without feedback; arrays over decisions.

    Attributes
    ----------
    models
        Those that occur, in the order in which they do.
    action
        Who answered, an index of `models`.
    reward, propensity, cost
        nan where there is none.
    written
        Whether there is a prompt.
    prompts
        The texts, None where there is none.
    vectors
        One for each decision, None where it has none; None if no decision has any.
    eligible
        Who could be chosen, of each decision; None: everybody, always.
    chances, shadows
        See `logs.Logged`; of a log of ours only.
    """

    models: tuple[str, ...]
    action: NDArray[np.int64]
    reward: Array
    propensity: Array
    cost: Array
    written: NDArray[np.bool_]
    prompts: NDArray[np.object_]
    vectors: list[Vector | None] | None = None
    eligible: list[tuple[str, ...]] | None = None
    chances: list[tuple[float, ...] | None] | None = None
    shadows: list[Mapping[str, tuple[float, ...]]] | None = None

    def __len__(self) -> int:
        return len(self.action)

    def taken(self, which: NDArray[np.bool_]) -> Columns:
        """Return some of the decisions."""
        if which.all():
            return self
        at = np.flatnonzero(which)
        return Columns(
            models=self.models,
            action=self.action[at],
            reward=self.reward[at],
            propensity=self.propensity[at],
            cost=self.cost[at],
            written=self.written[at],
            prompts=self.prompts[at],
            vectors=_taken(self.vectors, at),
            eligible=_taken(self.eligible, at),
            chances=_taken(self.chances, at),
            shadows=_taken(self.shadows, at),
        )


def _taken(values: list[Any] | None, at: NDArray[np.int64]) -> list[Any] | None:
    return None if values is None else [values[i] for i in at]


def of_rows(rows: Sequence[Logged]) -> Columns:
    """Return decisions that were read one by one."""
    answered = dict.fromkeys(name for row in rows for name in (*row.eligible, row.model))
    column = {name: i for i, name in enumerate(answered)}
    ours = any(row.eligible for row in rows)
    return Columns(
        models=tuple(answered),
        action=np.array([column[row.model] for row in rows], dtype=np.int64),
        reward=_numbers([row.reward for row in rows]),
        propensity=_numbers([row.propensity for row in rows]),
        cost=_numbers([row.cost_usd for row in rows]),
        written=np.array([row.prompt is not None for row in rows], dtype=np.bool_),
        prompts=_objects([row.prompt for row in rows]),
        vectors=_given([row.vector for row in rows]),
        eligible=[row.eligible for row in rows] if ours else None,
        chances=[row.chances for row in rows] if ours else None,
        shadows=[row.shadows for row in rows] if ours else None,
    )


def of_batch(file: Path, number: int, batch: Any) -> Columns:
    """Return a batch of a Parquet file, of which `number` rows came before.

    Raises
    ------
    InvalidInput
        Naming the file and the row.
    """
    found = _at_once(batch)
    if found is None:
        found = of_rows([of_row(where, row) for where, row in rows_of_batch(file, number, batch)])
    return found


def _at_once(batch: Any) -> Columns | None:
    """Return a batch without looking at single rows; None where that cannot be done."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = batch.schema.names
    if "model" not in names or not batch.num_rows:
        return None
    model = batch.column("model")
    if pa.types.is_dictionary(model.type):
        model = model.dictionary_decode()
    if not _is_text(model.type) or model.null_count:
        return None
    encoded = model.dictionary_encode()
    models = tuple(encoded.dictionary.to_pylist())
    if not all(name.strip() and is_model_name(name) for name in models):
        return None
    numbers = {
        name: _column(batch, name, low, high)
        for name, low, high in (
            ("reward", 0.0, 1.0),
            ("propensity", LEAST_PROPENSITY, 1.0),
            ("cost_usd", 0.0, MAX_USD),
        )
    }
    vectors = _vectors(batch.column("embedding")) if "embedding" in names else []
    if vectors is None or any(column is None for column in numbers.values()):
        return None
    written = np.zeros(batch.num_rows, dtype=np.bool_)
    prompts = np.full(batch.num_rows, None, dtype=np.object_)
    if "prompt" in names and not pa.types.is_null((prompt := batch.column("prompt")).type):
        if not _is_text(prompt.type):
            return None
        blank = pc.equal(pc.utf8_ltrim(prompt, characters=_SPACE), "")
        if pc.any(blank).as_py():
            return None
        written = pc.is_valid(prompt).to_numpy(zero_copy_only=False)
        prompts = prompt.to_numpy(zero_copy_only=False)
    if not vectors and not written.all():
        return None
    return Columns(
        models=models,
        action=encoded.indices.to_numpy().astype(np.int64),
        reward=numbers["reward"],  # type: ignore[arg-type]
        propensity=numbers["propensity"],  # type: ignore[arg-type]
        cost=numbers["cost_usd"],  # type: ignore[arg-type]
        written=written,
        prompts=prompts,
        vectors=vectors or None,
    )


def _is_text(type_: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _column(batch: Any, name: str, low: float, high: float) -> Array | None:
    """Return numbers between two bounds, nan where there is none; None where one is no such."""
    import pyarrow as pa

    if name not in batch.schema.names or pa.types.is_null((column := batch.column(name)).type):
        return np.full(batch.num_rows, np.nan)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return None
    values: Array = column.to_numpy(zero_copy_only=False).astype(np.float64)
    within = int(((values >= low) & (values <= high)).sum())
    return values if within == len(values) - column.null_count else None


def _vectors(column: Any) -> list[Vector | None] | None:
    """Return embeddings of one length, one for each row; None if they are not such."""
    import pyarrow as pa

    lists = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if not lists or column.null_count:
        return None
    flat, n = column.flatten(), len(column)
    if flat.null_count or not len(flat) or len(flat) % n:
        return None
    if pa.types.is_list(column.type) and len(set(np.diff(column.offsets.to_numpy()))) > 1:
        return None
    matrix = flat.to_numpy(zero_copy_only=False).reshape(n, -1)
    try:
        return [unit(vector) for vector in matrix]
    except InvalidInput:
        return None


def _numbers(values: list[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _objects(values: list[Any]) -> NDArray[np.object_]:
    out = np.empty(len(values), dtype=np.object_)
    out[:] = values
    return out


def _given(vectors: list[Vector | None]) -> list[Vector | None] | None:
    return vectors if any(vector is not None for vector in vectors) else None
