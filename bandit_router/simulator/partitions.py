"""Parquet, read part by part: a file by its row groups, a folder by its files.

Of the engines that could do it, pyarrow's datasets: they are what reads a single file already,
stream row groups in the order in which they were written, and hold no more than one of them. A
policy that learns has to see decisions one after another, so that what DuckDB and Polars are
better at (joins, sorting, many cores on one query) would find nothing to do here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from .. import codec
from ..exceptions import InvalidInput
from ..types import Event

COLUMNS = ("prompt", "model", "reward", "propensity", "cost_usd", "embedding")
SUFFIXES = (".parquet", ".pq")

_ARCHIVED = {"seq", "kind", "body"}  # columns of what `compact --archive` writes
_ROWS = 5_000  # of a part
_EVENTS = 500  # read at once, of each file that is open
_MANY = 100_000


def is_parquet(path: Path) -> bool:
    """Tell whether a path is read as Parquet: by its name, or because it is a folder."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


class _Row(NamedTuple):
    """An event of an archive."""

    seq: int
    kind: str
    body: bytes
    file: Path


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
        """Whether it is too much to be held in memory; a folder of anybody's logs always is."""
        return self.rows > _MANY or (self.path.is_dir() and not self.archive)

    @property
    def archive(self) -> bool:
        """Whether it holds events of a database of ours, as `compact --archive` wrote them."""
        return all(set(dataset.schema.names) >= _ARCHIVED for _, dataset, _ in self._files)

    def events(self, *, without: str | None = None) -> Iterator[Event]:
        """Yield the events of an archive in their order, each once.

        What could not be dropped from the log is in the next archive again.

        Parameters
        ----------
        without
            A kind of events that are left out.

        Raises
        ------
        InvalidInput
            If a file turns out to be damaged, or its events are not in their order.
        """
        last = None
        for row in self._merged():
            if row.seq == last:
                continue
            last = row.seq
            if row.kind == without:
                continue
            try:
                yield codec.decode_event(row.body)
            except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
                raise InvalidInput(
                    f"{row.file}: event {row.seq} cannot be read: {error}", "log"
                ) from None

    def _merged(self) -> Iterator[_Row]:
        """Yield the events of all files; one is opened when it is its turn."""
        waiting = []
        for number, (file, dataset, _) in enumerate(self._files):
            with _plain_words(file):
                first = dataset.head(1, columns=["seq"]).column("seq").to_pylist()
            waiting += [(seq, number) for seq in first]
        waiting.sort(reverse=True)
        under_way: list[tuple[int, int, _Row, Iterator[_Row]]] = []
        while waiting or under_way:
            if waiting and (not under_way or waiting[-1][0] <= under_way[0][0]):
                _, number = waiting.pop()
                rows = self._archived(number)
                row = next(rows)
                heapq.heappush(under_way, (row.seq, number, row, rows))
                continue
            _, number, row, rows = under_way[0]
            yield row
            if (following := next(rows, None)) is None:
                heapq.heappop(under_way)
            else:
                heapq.heapreplace(under_way, (following.seq, number, following, rows))

    def _archived(self, number: int) -> Iterator[_Row]:
        file, dataset, _ = self._files[number]
        last = None
        with _plain_words(file):
            for batch in dataset.to_batches(
                columns=["seq", "kind", "body"],
                batch_size=_EVENTS,
                batch_readahead=1,
                fragment_readahead=1,
            ):
                for seq, kind, body in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                    if last is not None and seq < last:
                        raise InvalidInput(
                            f"{file}: event {seq} comes after event {last}: write it anew, "
                            "sorted by seq",
                            "log",
                        )
                    last = seq
                    yield _Row(seq, kind, body, file)

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


def _list(scalar: Any) -> Any:
    return scalar if scalar.is_valid else None
