"""Decision logs: our own database, archives of it, or what any gateway writes.

That may be JSONL, CSV or Parquet.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..config import FeedbackSettings, Settings, is_model_name
from ..exceptions import InvalidInput, StoreError
from ..memory import settle
from ..store import EventStore
from ..types import Change, Decision, Event, Feedback, History, Outcome
from ..vectors import Vector, unit
from .partitions import Partitions, is_parquet

_SQLITE = b"SQLite format 3\x00"
WARM_START = "warm-start"
"""The policy of decisions that were learnt from a log, and made by somebody else."""

_MAX_LINE = 4_000_000
MAX_USD = 1e9  # a call; sums and squares stay finite
LEAST_PROPENSITY = 1e-12  # a propensity below says that the choice was as good as impossible


_UNREADABLE = (UnicodeDecodeError, EOFError, OSError, zlib.error)


@dataclass(frozen=True, eq=False)
class Logged:
    """One decision of a log.

    `reward` is None where no feedback came; `propensity` where the log has none. `eligible` are
    the models that could have been chosen, `chances` the probability of each where it is known;
    `shadows` holds those of every strategy that said something of the decision, by its name.
    """

    model: str
    eligible: tuple[str, ...]
    reward: float | None
    propensity: float | None
    cost_usd: float | None = None
    prompt: str | None = None
    vector: Vector | None = None
    chances: tuple[float, ...] | None = None
    shadows: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def read_log(path: Path) -> list[Logged]:
    """Read a log.

    Returns
    -------
    list of Logged
        In the order of the decisions. Of our database, decisions that another model answered
        than was chosen (a failover) are left out: their probability is not known.

    Raises
    ------
    InvalidInput
        Naming the file and the line.
    StoreError
        If it is a database that cannot be read.
    """
    try:
        head = b""
        if not path.is_dir():
            with path.open("rb") as file:
                head = file.read(len(_SQLITE))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", "log") from None
    if head == _SQLITE:
        with EventStore.open(path, readonly=True) as store:
            return _of_events(path, store.events(), store.checkpoint())
    if is_parquet(path) and (parts := Partitions(path)).archive:
        return _of_events(path, parts.events())
    rows = list(_file(path))
    if not rows:
        raise InvalidInput(f"{path}: the log is empty", "log")
    models = tuple(dict.fromkeys(row.model for row in rows))
    return [replace(row, eligible=models) for row in rows]


def _of_events(path: Path, events: Iterable[Event], checkpoint: int = 0) -> list[Logged]:
    histories: dict[str, History] = {}
    settings = FeedbackSettings()
    for event in events:
        if isinstance(event, Change) and event.what == "configured":
            import msgspec

            settings = msgspec.convert(event.body["settings"], Settings).feedback
        elif isinstance(event, Decision) and event.seq > checkpoint:
            histories[event.decision_id] = History(decision=event)
        elif isinstance(event, Feedback | Outcome) and event.decision_id in histories:
            histories[event.decision_id] = _longer(histories[event.decision_id], event)
    if not histories:
        since = " since older ones were folded away" if checkpoint else " yet"
        raise StoreError(f"{path} holds no decision{since}")
    return [
        of_history(history, settings)
        for history in histories.values()
        if history.answered_by == history.decision.model
    ]


def _longer(history: History, event: Feedback | Outcome) -> History:
    from ..memory import with_event

    return with_event(history, event)


def of_history(history: History, settings: FeedbackSettings) -> Logged:
    """Return a decision, and what was said of it, settled."""
    decision = history.decision
    weight, reward, _, bills, cost = settle(history, settings).sums[:5]
    known = decision.exact or decision.propensity_draws > 0
    # What else a stranger might have chosen is not known; ours was not asked.
    ours = decision.policy != WARM_START
    chances = tuple(c.propensity for c in decision.candidates)
    spoke = [shadow for shadow in decision.shadows if shadow.error is None]
    shadows = {shadow.strategy: shadow.propensities for shadow in spoke}
    return Logged(
        model=decision.model,
        eligible=tuple(c.model for c in decision.candidates),
        reward=float(reward / weight) if weight > 0 else None,
        propensity=decision.propensity if known else None,
        cost_usd=float(cost) if bills else None,
        prompt=decision.prompt,
        vector=decision.embedding(),
        chances=chances if known and ours else None,
        # A canary's own come with the shadows.
        shadows={decision.policy: chances} | shadows if ours else {},
    )


def _file(path: Path) -> Iterator[Logged]:
    kind = Path(path.stem if path.suffix == ".gz" else path).suffix.lower()
    if kind in (".jsonl", ".ndjson", ".json"):
        rows = _jsonl(path)
    elif kind == ".csv":
        rows = _csv(path)
    elif is_parquet(path):
        rows = _parquet(path)
    else:
        raise InvalidInput(
            f"{path}: give a bandit-router database, or .jsonl, .csv (or .gz of these) or .parquet",
            "log",
        )
    for where, row in rows:
        yield of_row(where, row)


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(_MAX_LINE):
                number += 1
                where = f"{path}:{number}"
                if len(line) == _MAX_LINE:
                    raise InvalidInput(f"{where}: longer than {_MAX_LINE:,} characters", "log")
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InvalidInput(f"{where}: give one JSON object a line", "log")
                yield where, row
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}:{number}: no valid JSON: {error}", "log") from None
    except _UNREADABLE as error:
        raise InvalidInput(f"{path}:{number + 1}: cannot be read: {error}", "log") from None


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE))  # prompts may be long
    line = 0
    try:
        with _open(path) as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or []
            missing = {"prompt", "model", "reward"} - set(header)
            if missing:
                raise InvalidInput(
                    f"{path}:1: the header lacks {', '.join(sorted(missing))}", "log"
                )
            if len(set(header)) < len(header):
                raise InvalidInput(f"{path}:1: the header has a name twice", "log")
            for row in reader:
                line = reader.line_num
                where = f"{path}:{line}"
                if None in row or None in row.values():
                    raise InvalidInput(f"{where}: not as many fields as the header", "log")
                yield where, {k: v for k, v in row.items() if v.strip() and k != "embedding"}
    except (csv.Error, *_UNREADABLE) as error:
        raise InvalidInput(f"{path}: no valid CSV after line {line}: {error}", "log") from None


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in Partitions(path).parts():
        yield from part


def of_row(where: str, row: dict[str, Any]) -> Logged:
    """Return a row of a file, checked; what is eligible is for the whole file to say."""
    vector = None if row.get("embedding") is None else _vector(row["embedding"], where)
    for key in ("prompt", "model"):
        if key == "prompt" and vector is not None and row.get(key) is None:
            continue
        if key not in row:
            raise InvalidInput(
                f"{where}: no {key!r}; a line holds prompt, model, reward, propensity[, cost_usd]",
                key,
            )
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise InvalidInput(f"{where}: {key!r} must be text that is not empty", key)
    if not is_model_name(row["model"]):
        raise InvalidInput(
            f"{where}: {row['model']!r} is no model name (printable, no comma)", "model"
        )
    propensity = _number(row, "propensity", where, 1.0)
    if propensity is not None and propensity < LEAST_PROPENSITY:
        raise InvalidInput(
            f"{where}: a propensity of {propensity:g} says that this choice was impossible",
            "propensity",
        )
    return Logged(
        model=row["model"],
        eligible=(),
        reward=_number(row, "reward", where, 1.0),
        propensity=propensity,
        cost_usd=_number(row, "cost_usd", where, MAX_USD),
        prompt=row.get("prompt"),
        vector=vector,
    )


def _vector(given: Any, where: str) -> Vector:
    try:
        return unit(given)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}", "embedding") from None


def _number(row: dict[str, Any], key: str, where: str, high: float) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 <= number <= high:
        raise InvalidInput(
            f"{where}: {key} is {value!r}; give a number between 0 and {high:g}", key
        )
    return number
