"""Parquet, read part by part: a file by its row groups, a folder by its files.

Of the engines that could do it, pyarrow's datasets: they are what reads a single file already,
stream row groups in the order in which they were written, and hold no more than one of them. A
policy that learns has to see decisions one after another, so that what DuckDB and Polars are
better at (joins, sorting, many cores on one query) would find nothing to do here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import InvalidInput

COLUMNS = ("prompt", "model", "reward", "propensity", "cost_usd", "embedding")
SUFFIXES = (".parquet", ".pq")

_ROWS = 5_000  # of a part
_MANY = 100_000


def is_parquet(path: Path) -> bool:
    """Tell whether a path is read as Parquet: by its name, or because it is a folder."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


Part = list[tuple[str, dict[str, Any]]]
"""Rows, each with where it is."""


class Partitions:
    """A Parquet file, or a folder of them in the order of their names, subfolders too.

    Raises
    ------
    InvalidInput
        If pyarrow is not installed or this is no Parquet.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.dataset as ds
        except ImportError:
            raise InvalidInput(
                f"{path}: reading Parquet needs `pip install pyarrow`", "log"
            ) from None
        self.path = path
        files = [path]
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES)
            if not files:
                raise InvalidInput(f"{path}: no .parquet file in this folder", "log")
        try:
            self._files = [_opened(ds.dataset(file, format="parquet"), file) for file in files]
            self.rows = sum(dataset.count_rows() for _, dataset, _ in self._files)
        except Exception as error:  # pyarrow's own, many
            raise InvalidInput(f"{path}: no valid Parquet: {error}", "log") from None

    @property
    def many(self) -> bool:
        """Whether it is too much to be held in memory."""
        return self.path.is_dir() or self.rows > _MANY

    def parts(self) -> Iterator[Part]:
        """Yield some thousand rows at a time, in order.

        Raises
        ------
        InvalidInput
            If a file turns out to be damaged.
        """
        for file, dataset, names in self._files:
            number = 0
            try:
                # One row group and one batch ahead, or it would read the whole file ahead.
                for batch in dataset.to_batches(
                    columns=names, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1
                ):
                    yield _part(file, number, batch)
                    number += batch.num_rows
            except InvalidInput:
                raise
            except Exception as error:  # pyarrow's own, many
                raise InvalidInput(f"{file}: no valid Parquet: {error}", "log") from None


def _opened(dataset: Any, file: Path) -> tuple[Path, Any, list[str]]:
    there = dataset.schema.names  # of a damaged file, they may be no text
    return file, dataset, [name for name in COLUMNS if name in there]


def _part(file: Path, number: int, batch: Any) -> Part:
    vectors: list[Any] | None = None
    if "embedding" in batch.schema.names:
        column = batch.column("embedding")
        # Lists of Python's own floats would take twenty times the memory.
        vectors = [None if v is None else np.asarray(v.values) for v in map(_list, column)]
        batch = batch.drop_columns(["embedding"])
    rows = batch.to_pylist()
    if vectors is not None:
        rows = [row | {"embedding": v} for row, v in zip(rows, vectors, strict=True)]
    return [(f"{file}, row {number + i}", row) for i, row in enumerate(rows, start=1)]


def _list(scalar: Any) -> Any:
    return scalar if scalar.is_valid else None
