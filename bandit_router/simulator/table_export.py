"""A routing table out of a service's database: what was asked, what each model made of it."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..exceptions import InvalidInput
from ..types import Model
from .logs import Logged, read_log


def export_table(db: Path, models: dict[str, Model], folder: Path) -> int:
    """Write the rated decisions of a database as a routing table; return how many prompts.

    A table of a log has holes: a model that was never tried on a prompt is not eligible there.
    Decisions for one and the same prompt are averaged.

    Parameters
    ----------
    models
        The arms, with their list prices.
    folder
        Must not exist, or be empty.

    Raises
    ------
    InvalidInput
        If no rated decision has its prompt, or the folder is in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already: name a new folder", "table")
    said: dict[str, dict[str, list[Logged]]] = defaultdict(lambda: defaultdict(list))
    for row in read_log(db):
        if row.prompt is not None and row.reward is not None:
            said[row.prompt][row.model].append(row)
    if not said:
        raise InvalidInput(
            "no decision has both its prompt and a rating: prompts are kept only with "
            "store.keep_prompts = true",
            "table",
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(said, models, folder)
    return len(said)


def _write(
    said: dict[str, dict[str, list[Logged]]], models: dict[str, Model], folder: Path
) -> None:
    with gzip.open(folder / "prompts.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, prompt in enumerate(said):
            file.write(json.dumps({"id": str(number), "prompt": prompt}) + "\n")
    with gzip.open(folder / "outcomes.csv.gz", "wt", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "model", "quality", "cost_usd"])
        for number, by_model in enumerate(said.values()):
            for model, rows in by_model.items():
                quality = float(np.mean([row.reward for row in rows if row.reward is not None]))
                costs = [row.cost_usd for row in rows if row.cost_usd is not None]
                out.writerow([number, model, quality, float(np.mean(costs)) if costs else ""])
    used = dict.fromkeys(model for by_model in said.values() for model in by_model)
    with (folder / "models.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["model", "input_usd_per_m", "output_usd_per_m"])
        for name in used:
            listed = models.get(name, Model(name=name))
            prices = (listed.input_usd_per_m, listed.output_usd_per_m)
            out.writerow([name, *("" if usd is None else usd for usd in prices)])
