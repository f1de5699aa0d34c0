"""What studies share: work on all cores with progress, and where their results are kept."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before anybody imports numpy

from tqdm import tqdm

from bandit_router.config import Settings
from bandit_router.cores import cores
from bandit_router.simulator.parallel import Work, run_all
from bandit_router.simulator.run import Job, prepare
from bandit_router.simulator.tables import RoutingTable

RESULTS = Path(__file__).parent / "results"
Task = TypeVar("Task", bound=Hashable)


def parser_of(doc: str | None, seeds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser of what every study is asked for: tables, seeds, and a folder."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument(
        "tables",
        type=lambda text: [Path(part) for part in text.split(",") if part],
        help="folders, comma-separated",
    )
    if seeds is not None:
        parser.add_argument("--seeds", type=int, default=seeds, help=f"[{seeds}]")
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder [simulations/results]")
    return parser


def on_all_cores(
    work: Work, shared: Any, tasks: Sequence[Task], *, label: str, steps: int, unit: str = "step"
) -> list[Any]:
    """Return the results of tasks, in order.

    Parameters
    ----------
    work
        Called as ``work(shared, task, tick)`` in a process of its own; `tick` takes the steps
        made since its last call.
    steps
        Of all tasks together.
    """
    with tqdm(total=steps, desc=label, unit=unit, unit_scale=True, file=sys.stderr) as bar:
        found, cut = run_all(work, shared, tasks, cores(), bar)
    if cut:
        raise KeyboardInterrupt
    return [found[task] for task in tasks]


def as_shipped(table: RoutingTable, passes: int, cost_weight: float, *, progress: bool) -> Job:
    """Return what runs on a table share: nothing changes, shipped defaults, MiniLM."""
    job, _ = prepare(
        table,
        ["thompson"],
        models="all",
        steps=passes * len(table.prompts),
        cost_weight=cost_weight,
        budget=None,
        scenario="stationary",
        embedder="minilm",
        train=0,
        settings=Settings(),
        progress=progress,
    )
    return job


def keep(out: Path, name: str, result: Any, words: str = "") -> None:
    """Write a result, of several rows one a line, and what it says in words if there are any."""
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(result, list):
        text = "[\n" + ",\n".join(json.dumps(row) for row in result) + "\n]\n"
    else:
        text = json.dumps(result, indent=1) + "\n"
    (out / f"{name}.json").write_text(text, encoding="utf-8")
    if words:
        (out / f"{name}.md").write_text(words.rstrip() + "\n", encoding="utf-8")


def standing(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows that were written before."""
    path = out / f"{name}.json"
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows = json.loads(path.read_text(encoding="utf-8"))
    return rows


def keep_rows(
    out: Path,
    name: str,
    rows: list[dict[str, Any]],
    words: Callable[[list[dict[str, Any]]], str],
    by: Sequence[str] = ("table", "cost_weight"),
) -> str:
    """Write rows in the place of those of the same keys; the others stay. Return the words."""

    everything = {tuple(row[k] for k in by): row for row in (*standing(out, name), *rows)}
    said = words(list(everything.values()))
    keep(out, name, list(everything.values()), said)
    return said


def grid(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(map(str, line))} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
