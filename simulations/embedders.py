"""Routing quality with each packaged embedder, over routing tables.

    python -m simulations.embedders tables/ulab14,tables/pareto_val

Every embedder gives the vectors of a table's prompts; `thompson` plays one pass with each, seed by
seed over the same streams, beside `global-thompson`, which needs none. `knn` is how good the model
is that 20 neighbours would have chosen (every outcome known; a fifth of the prompts held out), and
`tasks` how well k-means with 24 clusters in the map's space agrees with task labels (adjusted
mutual information). MiniLM is also read by its first and last 63 tokens only, half of the longest
prompt. What they cost is measured by ``bandit-router bench --suite minilm``.
Writes ``embedders.json`` and ``.md``.
"""

from __future__ import annotations

from collections.abc import Callable
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

from .harness import grid, keep_rows, on_all_cores, parser_of

HALF = 63
NEIGHBOURS = 20
WAYS = {
    "minilm (torch)": EmbedderSettings(backend="torch"),
    "minilm (onnx)": EmbedderSettings(backend="onnx"),
    "static": EmbedderSettings(name="static"),
}
SHORTENED = "minilm (onnx), head and tail"
REFERENCE = "minilm (torch)"
WITHOUT = "no embedding (global-thompson)"


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


def run(
    shared: tuple[RoutingTable, dict[str, Any]],
    task: tuple[str, int],
    tick: Callable[[int], object],
) -> float:
    """Return the mean quality of one pass with one embedder's vectors, or without context."""
    (table, vectors), (name, seed) = shared, task
    settings = Settings(embedder=EmbedderSettings(name=_map_of(name)))
    bandit = msgspec.structs.replace(
        settings.bandit, seed=seed, reference_cost_usd=table.reference_cost_usd
    )
    played = play(
        "global-thompson" if name == WITHOUT else "thompson",
        table,
        make_world(table, "stationary", seed, len(table.prompts), 0.0),
        vectors=vectors.get(name),
        settings=msgspec.structs.replace(settings, bandit=bandit),
        tick=tick,
    )
    return float(played.quality.mean())


def _map_of(name: str) -> str:
    """Return the embedder whose projection leads into the map's space."""
    return "static" if name == "static" else "minilm"


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
    projection = shipped_projection(_map_of(name))
    assert projection is not None
    places = (vectors - projection.mean) @ projection.first(24).components.T
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    labels = KMeans(24, n_init=2, random_state=0).fit_predict(places)
    return float(adjusted_mutual_info_score(table.tasks, labels))


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return what the embedders are worth on one table."""
    table = read_table(folder)
    vectors = vectors_of(table)
    tasks_ = [(name, seed) for seed in range(seeds) for name in (*vectors, WITHOUT)]
    runs = on_all_cores(
        run,
        (table, vectors),
        tasks_,
        label=f"playing {table.name}",
        steps=len(tasks_) * len(table.prompts),
    )
    quality: dict[str, list[float]] = {name: [] for name in (*vectors, WITHOUT)}
    for (name, _), mean in zip(tasks_, runs, strict=True):
        quality[name].append(mean)
    reference = vectors[REFERENCE]
    rows: dict[str, Any] = {}
    for name, earned in quality.items():
        row = {
            "quality": float(np.mean(earned)),
            "less_than_torch": _paired(earned, quality[REFERENCE]),
        }
        if name in vectors:
            found = vectors[name]
            row |= {"knn": knn(table, found), "tasks": tasks(table, name, found)}
            if found.shape == reference.shape:
                cosine = (found * reference).sum(axis=1)
                row["cosine"] = {
                    "min": float(cosine.min()),
                    "p01": float(np.quantile(cosine, 0.01)),
                    "mean": float(cosine.mean()),
                }
        rows[name] = row
    return {
        "table": table.name,
        "prompts": len(table.prompts),
        "seeds": seeds,
        "embedders": rows,
    }


def _paired(quality: list[float], base: list[float]) -> dict[str, float | None]:
    """Return the mean difference to the reference and half its 95 % interval, seed by seed."""
    gap = np.subtract(quality, base)
    half = None
    if len(gap) > 1:
        half = float(stats.t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap)))
    return {"mean": float(gap.mean()), "half_interval": half}


def markdown(result: list[dict[str, Any]]) -> str:
    """Return the figures as a table for each routing table."""
    parts = []
    for found in result:
        rows = []
        for name, row in found["embedders"].items():
            gap, half = row["less_than_torch"]["mean"], row["less_than_torch"]["half_interval"]
            doubt = "" if half is None else f" ± {half:.4f}"
            rows.append(
                (
                    name,
                    f"{row['quality']:.4f}",
                    "" if name == REFERENCE else f"{gap:+.4f}{doubt}",
                    *("" if row.get(k) is None else f"{row[k]:.3f}" for k in ("knn", "tasks")),
                )
            )
        head = ("embedder", "quality", "less than torch", "knn", "tasks")
        parts.append(
            f"### {found['table']}\n\n{found['prompts']:,} prompts, {found['seeds']} seeds.\n\n"
            f"{grid(head, rows)}"
        )
    return "\n\n".join(parts)


def main() -> None:
    """Run the study."""
    args = parser_of(__doc__, seeds=5).parse_args()
    result = []
    for folder in args.tables:
        result.append(study(folder, args.seeds))
        keep_rows(args.out, "embedders", result, markdown, by=("table",))
    print(markdown(result))


if __name__ == "__main__":
    main()
