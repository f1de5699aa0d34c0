"""Routing tables: prompts x models with quality and cost, read from a folder.

===================== ==================================================================
``prompts.jsonl.gz``   one JSON object a line: `id`, `prompt`, optional `task`
``outcomes.csv.gz``    ``id,model,quality,cost_usd,...``; an empty quality: not eligible
``models.csv``         optional: ``model,input_usd_per_m,output_usd_per_m,...,core``
===================== ==================================================================

Files may also be without ``.gz``. Nothing in them is executed, and every error names file and
line.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..config import is_model_name, nearest
from ..exceptions import InvalidInput, TableError
from ..types import Model

Array = NDArray[np.float64]
_MAX_LINE = 4_000_000
_MAX_USD = 1e9  # a call, or a million tokens; sums and squares stay finite


@dataclass(frozen=True, eq=False)
class RoutingTable:
    """Real outcomes of every model on every prompt.

    Attributes
    ----------
    prompts, tasks
        One per prompt; a policy sees the prompt only.
    quality
        Shape (prompts, models), in [0, 1]; nan where the arm is not eligible.
    cost
        The same shape, US dollars, without gaps.
    has_cost
        Whether any cost was given; if not, all are 0.
    core
        Names of the smaller, realistic pool.
    """

    name: str
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    models: tuple[Model, ...]
    quality: Array
    cost: Array
    has_cost: bool
    core: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, in the order of the columns."""
        return tuple(model.name for model in self.models)

    @property
    def reference_cost_usd(self) -> float:
        """Mean cost of the model with the highest mean quality (1 without costs)."""
        best = int(np.nanargmax(np.nanmean(self.quality, axis=0)))
        mean = float(self.cost[:, best].mean())
        return mean if mean > 0 else 1.0

    def select(self, models: str) -> RoutingTable:
        """Return the table of some models: ``all``, ``core``, or names with commas.

        Prompts that none of them answered are left out.

        Raises
        ------
        InvalidInput
            If a name is not in the table, or no prompt is left.
        """
        if models == "all":
            wanted = list(self.names)
        elif models == "core":
            wanted = [name for name in self.names if name in self.core]
        else:
            wanted = [name.strip() for name in models.split(",") if name.strip()]
        for name in wanted:
            if name not in self.names:
                raise InvalidInput(
                    f"table {self.name}: no model {name!r}{nearest(name, self.names)}", "models"
                )
        columns = [self.names.index(name) for name in dict.fromkeys(wanted)]
        rows = np.flatnonzero(~np.isnan(self.quality[:, columns]).all(axis=1))
        if not len(rows) or not columns:
            raise InvalidInput(f"table {self.name}: no prompt has an outcome of these", "models")
        return replace(
            self.rows(rows),
            models=tuple(self.models[c] for c in columns),
            quality=self.quality[rows][:, columns],
            cost=self.cost[rows][:, columns],
        )

    def rows(self, rows: NDArray[np.int64]) -> RoutingTable:
        """Return the table of some prompts."""
        return replace(
            self,
            prompts=tuple(self.prompts[i] for i in rows),
            tasks=tuple(self.tasks[i] for i in rows),
            quality=self.quality[rows],
            cost=self.cost[rows],
        )


def read_table(folder: Path) -> RoutingTable:
    """Read a routing table.

    Raises
    ------
    TableError
        Naming the file, the line and the remedy.
    """
    if not folder.is_dir():
        raise TableError(f"{folder} is no folder; a routing table is one", "table")
    prompts = _prompts(_file(folder, "prompts.jsonl"))
    listed, core = _models(folder / "models.csv")
    names, cells = _outcomes(_file(folder, "outcomes.csv"), prompts)
    quality = np.full((len(prompts), len(names)), np.nan)
    cost = np.full_like(quality, np.nan)
    for (row, column), (q, c) in cells.items():
        quality[row, column], cost[row, column] = q, c
    used = np.flatnonzero(~np.isnan(quality).all(axis=0))
    names = [names[i] for i in used]
    quality, cost = quality[:, used], cost[:, used]
    if not names:
        raise TableError(f"{folder}: no outcome has a quality", "table")
    has_cost = bool(np.isfinite(cost).any())
    table = RoutingTable(
        name=folder.resolve().name,
        prompts=tuple(prompt for prompt, _ in prompts.values()),
        tasks=tuple(task for _, task in prompts.values()),
        models=tuple(listed.get(name, Model(name=name)) for name in names),
        quality=quality,
        cost=_without_gaps(cost) if has_cost else np.zeros_like(cost),
        has_cost=has_cost,
        core=frozenset(names if core is None else core),
    )
    return table.select("all")


def _without_gaps(cost: Array) -> Array:
    """Fill gaps with the model's mean; a model without any cost gets that of the table."""
    known = np.isfinite(cost)
    count = known.sum(axis=0)
    mean = np.where(known, cost, 0.0).sum(axis=0) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, cost[known].mean())
    return np.where(known, cost, mean)


def _file(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise TableError(f"{folder} lacks {name}.gz (or {name})", "table")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of a text file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            while line := _line(file, path, number + 1):
                number += 1
                yield number, line
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise TableError(f"{path}:{number + 1}: cannot be read: {error}", "table") from None


def _line(file: IO[str], path: Path, number: int) -> str:
    line = file.readline(_MAX_LINE)
    if len(line) == _MAX_LINE:
        raise TableError(f"{path}:{number}: the line is longer than {_MAX_LINE:,}", "table")
    return line


def _prompts(path: Path) -> dict[str, tuple[str, str]]:
    out: dict[str, tuple[str, str]] = {}
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TableError(f"{where}: no valid JSON: {error}", "table") from None
        if not isinstance(row, dict):
            raise TableError(f"{where}: give one JSON object a line", "table")
        id_, prompt = _label(row, "id", where), _text(row, "prompt", where)
        if id_ in out:
            raise TableError(f"{where}: the id {id_!r} is there twice", "table")
        task = "unknown" if row.get("task") in (None, "") else _label(row, "task", where)
        out[id_] = (prompt, task)
    if not out:
        raise TableError(f"{path}: no prompts", "table")
    return out


def _label(row: dict[str, object], key: str, where: str) -> str:
    """Return a text, or a whole number as one: it is written the same in a CSV file."""
    value = row.get(key)
    return str(value) if type(value) is int else _text(row, key, where)


def _text(row: dict[str, object], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise TableError(f"{where}: {key!r} must be text that is not empty", "table")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise TableError(f"{where}: {key!r} holds half a character (a lone surrogate)", "table")
    return value


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (where, row) of a CSV file with a header."""
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    try:
        header = next(reader, [])
        missing = [name for name in required if name not in header]
        if missing:
            raise TableError(f"{path}:1: the header lacks {', '.join(missing)}", "table")
        twice = [name for name in required if header.count(name) > 1]
        if twice:
            raise TableError(f"{path}:1: the header has {', '.join(twice)} twice", "table")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise TableError(
                    f"{where}: {len(row)} fields where the header has {len(header)}", "table"
                )
            yield where, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: {error}", "table") from None


def _number(text: str | None, where: str, key: str, high: float = _MAX_USD) -> float:
    """Return a number of at least 0, nan for an empty field."""
    if text is None or not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= high:
        raise TableError(
            f"{where}: {key} is {text!r}; give a number between 0 and {high:g}, or nothing", "table"
        )
    return value


def _price(row: dict[str, str], key: str, where: str) -> float | None:
    value = _number(row.get(key), where, key)
    return None if math.isnan(value) else value


def _outcomes(
    path: Path, prompts: dict[str, tuple[str, str]]
) -> tuple[list[str], dict[tuple[int, int], tuple[float, float]]]:
    index = {id_: i for i, id_ in enumerate(prompts)}
    names: dict[str, int] = {}
    cells: dict[tuple[int, int], tuple[float, float]] = {}
    for where, row in _rows(path, ("id", "model", "quality")):
        if row["id"] not in index:
            raise TableError(f"{where}: no prompt has the id {row['id']!r}", "table")
        name = _name(row["model"], where)
        cell = (index[row["id"]], names.setdefault(name, len(names)))
        if cell in cells:
            raise TableError(f"{where}: {name!r} answers {row['id']!r} twice", "table")
        cells[cell] = (
            _number(row["quality"], where, "quality", 1.0),
            _number(row.get("cost_usd"), where, "cost_usd"),
        )
    return list(names), cells


def _models(path: Path) -> tuple[dict[str, Model], frozenset[str] | None]:
    """Prices by name, and the core pool if the file has such a column."""
    if not path.is_file():
        return {}, None
    out: dict[str, Model] = {}
    core: set[str] | None = None
    for where, row in _rows(path, ("model",)):
        name = _name(row["model"], where)
        if name in out:
            raise TableError(f"{where}: {name!r} is there twice", "table")
        out[name] = Model(
            name=name,
            input_usd_per_m=_price(row, "input_usd_per_m", where),
            output_usd_per_m=_price(row, "output_usd_per_m", where),
        )
        if "core" in row:
            core = core or set()
            if row["core"].strip() == "1":
                core.add(name)
    return out, None if core is None else frozenset(core)


def _name(text: str, where: str) -> str:
    if not is_model_name(text):
        raise TableError(
            f"{where}: {text!r} is no model name (printable, not empty, no comma)", "table"
        )
    return text
