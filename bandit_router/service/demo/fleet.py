"""A fleet of models whose answers were graded beforehand; see ``table/SOURCE.md``."""

from __future__ import annotations

import csv
import gzip
import json
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec
import numpy as np

from ...config import BanditSettings, Config, Settings
from ...exceptions import ConfigError
from ...types import Decision, Feedback, Model, Outcome, Vector
from ..batch import Batch
from ..wire import Demo

SIMILAR = 0.6
"""Cosine from which a prompt counts as one of the sample."""

COST_WEIGHT = 0.2
SOURCE = "demo"


class DemoFleet:
    """Finds the bundled prompt nearest to a vector, and what a model scored on it.

    Attributes
    ----------
    prompts
        The bundled prompts.
    vectors
        Their MiniLM unit vectors, shape (prompts, 384).
    outcomes
        (index of the prompt, model) to (quality, cost in US dollars).
    """

    def __init__(self) -> None:
        table = _table()
        with (table / "prompts.jsonl.gz").open("rb") as file:
            rows = [json.loads(line) for line in gzip.decompress(file.read()).splitlines()]
        self.prompts: list[str] = [row["prompt"] for row in rows]
        index = {row["id"]: i for i, row in enumerate(rows)}
        with (table / "outcomes.csv.gz").open("rb") as file:
            lines = gzip.decompress(file.read()).decode().splitlines()
        self.outcomes = {
            (index[row["id"]], row["model"]): (float(row["quality"]), float(row["cost_usd"]))
            for row in csv.DictReader(lines)
        }
        with (
            resources.as_file(table / "minilm.npz") as path,
            np.load(path, allow_pickle=False) as data,
        ):
            self.vectors = data["vectors"].astype(np.float32)

    def answer(self, vector: Vector, model: str) -> Demo | None:
        """Return the recorded outcome of `model` on the nearest prompt, or None if none is near."""
        if vector.shape != self.vectors.shape[1:]:
            return None
        similarities = self.vectors @ vector
        nearest = int(similarities.argmax())
        found = self.outcomes.get((nearest, model))
        if similarities[nearest] < SIMILAR or found is None:
            return None
        return Demo(
            nearest=self.prompts[nearest],
            similarity=round(min(1.0, float(similarities[nearest])), 4),
            quality=found[0],
            cost_usd=found[1],
        )

    def play(self, batch: Batch, decision: Decision) -> Demo | None:
        """Answer a decision, and add what was observed."""
        vector = decision.embedding()
        answer = None if vector is None else self.answer(vector, decision.model)
        if answer is None:
            return None
        observed = Outcome(
            seq=0,
            time=0.0,
            decision_id=decision.decision_id,
            model=decision.model,
            cost_usd=answer.cost_usd,
        )
        batch.observe(observed)
        said = Feedback(decision_id=decision.decision_id, reward=answer.quality, source=SOURCE)
        batch.judge(said, None, signed=True)
        return answer


def demo_config(base: Config | None = None) -> Config:
    """Return the demo's configuration: its models and prices, cost weight 0.2, regions with names.

    Parameters
    ----------
    base
        Where every other setting comes from; its models and its embedder give way to the demo's.

    Raises
    ------
    ConfigError
        If it has tenants.
    """
    base = base or Config()
    if base.tenants:
        raise ConfigError("tenants: the demo has none: leave them out, or --demo", "tenants")
    settings = base.settings
    bandit = settings.bandit
    if bandit.cost_weight == BanditSettings().cost_weight:
        bandit = msgspec.structs.replace(bandit, cost_weight=COST_WEIGHT)
    replaced: Settings = msgspec.structs.replace(
        settings,
        bandit=bandit,
        clusterer=msgspec.structs.replace(settings.clusterer, names=True),
        embedder=msgspec.structs.replace(settings.embedder, name="minilm"),
    )
    return Config(settings=replaced, models=_models())


def _models() -> tuple[Model, ...]:
    lines = (_table() / "models.csv").read_text(encoding="utf-8").splitlines()
    return tuple(
        Model(
            name=row["model"],
            input_usd_per_m=float(row["input_usd_per_m"]),
            output_usd_per_m=float(row["output_usd_per_m"]),
        )
        for row in csv.DictReader(lines)
    )


def _table() -> Traversable:
    return resources.files(__package__) / "table"
