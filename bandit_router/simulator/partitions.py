"""Parquet, read part by part: a file by its row groups, a folder by its files.

Of the engines that could do it, pyarrow's datasets: they are what reads a single file already,
stream row groups in the order in which they were written, and hold no more than one of them. A
policy that learns has to see decisions one after another, so that what DuckDB and Polars are
better at (joins, sorting, many cores on one query) would find nothing to do here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .. import codec
from ..exceptions import InvalidInput
from ..types import Event

COLUMNS = ("prompt", "model", "reward", "propensity", "cost_usd", "embedding")
SUFFIXES = (".parquet", ".pq")

_ARCHIVED = {"seq", "kind", "body"}  # columns of what `compact --archive` writes
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
        with _plain_words(path):
            self._files = [_opened(ds.dataset(file, format="parquet"), file) for file in files]
            self.rows = sum(dataset.count_rows() for _, dataset, _ in self._files)

    @property
    def many(self) -> bool:
        """Whether it is too much to be held in memory."""
        return self.path.is_dir() or self.rows > _MANY

    @property
    def archive(self) -> bool:
        """Whether it holds events of a database of ours, as `compact --archive` wrote them."""
        return all(set(dataset.schema.names) >= _ARCHIVED for _, dataset, _ in self._files)

    def events(self) -> Iterator[Event]:
        """Yield the events of an archive in their order, each once.

        What could not be dropped from the log is in the next archive again.

        Raises
        ------
        InvalidInput
            If a file turns out to be damaged.
        """
        found = []
        for file, dataset, _ in self._files:
            with _plain_words(file):
                table = dataset.to_table(columns=["seq", "body"])
            found += [(seq, file, body) for seq, body in zip(*map(_list_of, table), strict=True)]
        last = None
        for seq, file, body in sorted(found, key=lambda row: row[0]):
            if seq == last:
                continue
            last = seq
            try:
                yield codec.decode_event(body)
            except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
                raise InvalidInput(f"{file}: event {seq} cannot be read: {error}", "log") from None

    def parts(self) -> Iterator[Part]:
        """Yield some thousand rows at a time, in order; see `batches`."""
        for file, number, batch in self.batches():
            yield rows_of_batch(file, number, batch)

    def batches(self) -> Iterator[tuple[Path, int, Any]]:
        """Yield a file, how many of its rows came before, and some thousand more of them.

        Raises
        ------
        InvalidInput
            If a file turns out to be damaged.
        """
        for file, dataset, names in self._files:
            number = 0
            with _plain_words(file):
                # One row group and one batch ahead, or it would read the whole file ahead.
                for batch in dataset.to_batches(
                    columns=names, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1
                ):
                    yield file, number, batch
                    number += batch.num_rows


@contextmanager
def _plain_words(file: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:  # pyarrow's own, many
        raise InvalidInput(f"{file}: no valid Parquet: {error}", "log") from None


def _opened(dataset: Any, file: Path) -> tuple[Path, Any, list[str]]:
    there = dataset.schema.names  # of a damaged file, they may be no text
    return file, dataset, [name for name in COLUMNS if name in there]


def rows_of_batch(file: Path, number: int, batch: Any) -> Part:
    """Return the rows of a batch, of which `number` of its file came before."""
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


def _list_of(column: Any) -> list[Any]:
    found: list[Any] = column.to_pylist()
    return found


def _list(scalar: Any) -> Any:
    return scalar if scalar.is_valid else None
