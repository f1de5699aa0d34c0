"""Routing quality with each packaged embedder, over routing tables.

    python -m simulations.embedders TABLE,... [--seeds 5] --out simulations/results/embedders.json

Every embedder gives the vectors of a table's prompts; `thompson` plays one pass with each, seed by
seed over the same streams, beside `global-thompson`, which needs none. `knn` is how good the model
is that 20 neighbours would have chosen (every outcome known; a fifth of the prompts held out), and
`tasks` how well k-means with 24 clusters in the map's space agrees with task labels (adjusted
mutual information). MiniLM is also read by its first and last 63 tokens only, half of the longest
prompt. What they cost is measured by ``bandit-router bench --suite minilm``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from tokenizers import Tokenizer

from bandit_router.config import EmbedderSettings, Settings
from bandit_router.embedding import CachedEmbedder, make_embedder, shipped_projection
from bandit_router.embedding.sentence import packaged_minilm
from bandit_router.simulator import make_world, read_table
from bandit_router.simulator.play import play
from bandit_router.simulator.tables import RoutingTable

HALF = 63
NEIGHBOURS = 20
WAYS = {
    "minilm (torch)": EmbedderSettings(backend="torch"),
    "minilm (onnx)": EmbedderSettings(backend="onnx"),
    "static": EmbedderSettings(name="static"),
}
SHORTENED = "minilm (onnx), head and tail"


def vectors_of(table: RoutingTable) -> dict[str, Any]:
    """Return the vectors that each embedder gives, by its name."""
    out = {
        name: CachedEmbedder(make_embedder(settings)).encode(table.prompts)
        for name, settings in WAYS.items()
    }
    tokenizer = Tokenizer.from_file(str(packaged_minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    short = [_head_and_tail(tokenizer, prompt) for prompt in table.prompts]
    out[SHORTENED] = CachedEmbedder(make_embedder(WAYS["minilm (onnx)"])).encode(short)
    return out


def _head_and_tail(tokenizer: Any, prompt: str) -> str:
    spans = tokenizer.encode(prompt, add_special_tokens=False).offsets
    if len(spans) <= 2 * HALF:
        return prompt
    return f"{prompt[: spans[HALF - 1][1]]} {prompt[spans[-HALF][0] :]}"


def played(table: RoutingTable, name: str, vectors: Any, seeds: int) -> list[float]:
    """Return the mean quality of one pass of `thompson` (None: without context), seed by seed."""
    policy = "global-thompson" if vectors is None else "thompson"
    embedder = "static" if name == "static" else "minilm"
    out = []
    for seed in range(seeds):
        settings = Settings(embedder=EmbedderSettings(name=embedder))
        bandit = msgspec.structs.replace(
            settings.bandit, seed=seed, reference_cost_usd=table.reference_cost_usd
        )
        world = make_world(table, "stationary", seed, len(table.prompts), 0.0)
        run = play(
            policy, table, world, vectors=vectors,
            settings=msgspec.structs.replace(settings, bandit=bandit),
        )  # fmt: skip
        out.append(float(run.quality.mean()))
    return out


def knn(table: RoutingTable, vectors: Any) -> float:
    """Return the quality of the models that neighbours choose, on held-out prompts."""
    order = np.random.default_rng(0).permutation(len(vectors))
    held, known = np.split(order, [len(order) // 5])
    near = np.argpartition(-(vectors[held] @ vectors[known].T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    quality = np.nan_to_num(table.quality)
    best = quality[known][near].mean(axis=1).argmax(axis=1)
    return float(quality[held, best].mean())


def tasks(table: RoutingTable, name: str, vectors: Any) -> float | None:
    """Return how well offline clusters agree with the task labels; None where there are none."""
    if len(set(table.tasks)) < 2:
        return None
    projection = shipped_projection("static" if name == "static" else "minilm")
    assert projection is not None
    places = (vectors - projection.mean) @ projection.first(24).components.T
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    labels = KMeans(24, n_init=2, random_state=0).fit_predict(places)
    return float(adjusted_mutual_info_score(table.tasks, labels))


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return what the embedders are worth on one table."""
    table = read_table(folder)
    vectors = vectors_of(table)
    reference = vectors["minilm (torch)"]
    base = played(table, "minilm", reference, seeds)
    rows: dict[str, Any] = {}
    for name, found in vectors.items():
        quality = base if found is reference else played(table, name, found, seeds)
        row = {
            "quality": float(np.mean(quality)),
            "less_than_torch": _paired(quality, base),
            "knn": knn(table, found),
            "tasks": tasks(table, name, found),
        }
        if found.shape == reference.shape:
            cosine = (found * reference).sum(axis=1)
            row["cosine"] = {
                "min": float(cosine.min()),
                "p01": float(np.quantile(cosine, 0.01)),
                "mean": float(cosine.mean()),
            }
        rows[name] = row
        print(table.name, name, json.dumps(row), flush=True)
    without = played(table, "none", None, seeds)
    rows["no embedding (global-thompson)"] = {
        "quality": float(np.mean(without)),
        "less_than_torch": _paired(without, base),
    }
    return {
        "table": table.name,
        "prompts": len(table.prompts),
        "seeds": seeds,
        "embedders": rows,
    }


def _paired(quality: list[float], base: list[float]) -> dict[str, float]:
    """Return the mean difference to the reference and half its 95 % interval, seed by seed."""
    gap = np.subtract(quality, base)
    half = stats.t.ppf(0.975, max(len(gap) - 1, 1)) * gap.std(ddof=1) / np.sqrt(len(gap))
    return {"mean": float(gap.mean()), "half_interval": float(half)}


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", help="Folders, with commas.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = [study(Path(folder), args.seeds) for folder in args.tables.split(",")]
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
