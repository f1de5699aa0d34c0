"""How good a map does each clusterer draw? One pass over the shared tables, beside k-means.

    python -m simulations.clusterers tables/ulab14,tables/pareto_val

Every clusterer is the finest (here the only) level of the map, over MiniLM embeddings in the
map's space, and sees every prompt once, in seeded order. Then:

* AMI, adjusted mutual information of tasks with the cluster that each prompt was given when it
  came (its heir at the end), and purity, the share of prompts of their cluster's main task;
* k-means (scikit-learn, five restarts) fitted on all prompts at once, with as many clusters;
* clusters over time, at ten checkpoints;
* stability, the share of prompts that are located in the heir of their cluster at the end.

Writes ``clusterers.json``, ``clusterers.md`` and (with matplotlib) ``clusterers.svg``.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

from bandit_router.clustering import ClusterMap
from bandit_router.config import ClustererSettings
from bandit_router.embedding import (
    CachedEmbedder,
    SentenceTransformerEmbedder,
    shipped_projection,
)
from bandit_router.simulator import read_table

from .harness import grid, keep_rows, on_all_cores, parser_of, standing

CANDIDATES: list[tuple[str, float, dict[str, Any]]] = [
    ("dbstream", 1.1, {}),
    ("dbstream", 1.0, {}),
    ("dbstream", 0.9, {}),
    ("kmeans", 1.0, {}),
    ("kmeans", 1.0, {"sigma": 0.01}),
    ("kmeans", 1.0, {"n_clusters": 64, "sigma": 0.15}),
    ("kmeans", 1.0, {"n_clusters": 64, "sigma": 1.0, "halflife": 0.5}),
    ("streamkmeans", 1.0, {}),
    ("streamkmeans", 1.0, {"sigma": 0.1}),
    ("streamkmeans", 1.0, {"chunk_size": 100, "sigma": 0.05}),
    ("clustream", 1.0, {}),
    ("clustream", 1.0, {"micro_cluster_r_factor": 2}),
    ("clustream", 1.0, {"max_micro_clusters": 64}),
    ("denstream", 1.0, {}),
    ("denstream", 1.0, {"epsilon": 0.65}),
    ("denstream", 1.0, {"epsilon": 0.8}),
]
"""Name, radius (of a DBSTREAM), arguments over the defaults."""


def play(
    shared: tuple[np.ndarray, list[str]], candidate: int, tick: Callable[[int], object]
) -> dict[str, Any]:
    """Play one pass of a candidate; return the figures of the module."""
    vectors, tasks = shared
    name, radius, params = CANDIDATES[candidate]
    settings = ClustererSettings(name=name, resolutions=(radius,), params=params)  # type: ignore[arg-type]
    map_ = ClusterMap(settings)
    given, over_time = [], []
    for step, z in enumerate(vectors):
        map_.learn(z, step, float(step))
        given.append(map_.locate(z)[-1])
        if step % max(1, len(vectors) // 10) == 0:
            over_time.append(len(map_.levels[-1].view()[0]))
        tick(1)
    heirs = [map_.heir(id_) for id_ in given]
    clusters = len(set(heirs))
    later = [map_.locate(z)[-1] for z in vectors]
    fitted = KMeans(clusters, n_init=5, random_state=0).fit_predict(vectors)
    ami, reference = (adjusted_mutual_info_score(tasks, found) for found in (heirs, fitted))
    return {
        "clusters": clusters,
        "ami": round(float(ami), 3),
        "kmeans_ami": round(float(reference), 3),
        "ratio": round(float(ami / reference), 3) if reference > 1e-9 else None,
        "purity": round(purity(heirs, tasks), 3),
        "kmeans_purity": round(purity(fitted.tolist(), tasks), 3),
        "stability": round(float(np.mean([a == b for a, b in zip(heirs, later, strict=True)])), 3),
        "clusters_over_time": over_time,
    }


def purity(found: list[int], tasks: list[str]) -> float:
    """Return the share of prompts whose task is the main one of their cluster."""
    by_cluster: dict[int, Counter[str]] = defaultdict(Counter)
    for cluster, task in zip(found, tasks, strict=True):
        by_cluster[cluster][task] += 1
    return sum(max(c.values()) for c in by_cluster.values()) / len(tasks)


def study(folder: Path, limit: int) -> list[dict[str, Any]]:
    """Play every candidate over one table."""
    table = read_table(folder)
    projection = shipped_projection("minilm")
    assert projection is not None
    space = projection.first(ClustererSettings().dimensions)
    found = CachedEmbedder(SentenceTransformerEmbedder("minilm")).encode(table.prompts)
    order = np.random.default_rng(0).permutation(len(found))[:limit]
    vectors = np.array([space.apply(found[i]) for i in order])
    tasks = [table.tasks[i] for i in order]
    rows = on_all_cores(
        play,
        (vectors, tasks),
        range(len(CANDIDATES)),
        label=f"clustering {table.name}",
        steps=len(CANDIDATES) * len(tasks),
    )
    return [
        {"table": table.name, "prompts": len(tasks), "clusterer": called(candidate)} | row
        for candidate, row in zip(CANDIDATES, rows, strict=True)
    ]


def called(candidate: tuple[str, float, dict[str, Any]]) -> str:
    """Return what a candidate is called in the results."""
    name, radius, params = candidate
    what = f"{name} {radius:g}" if name == "dbstream" else name
    return what + "".join(f", {key}={value}" for key, value in params.items())


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table for people."""
    what = "clusters", "AMI", "k-means'", "ratio", "purity", "k-means'", "stability"
    head = ("table", "clusterer", *what)
    keys = ("clusters", "ami", "kmeans_ami", "ratio", "purity", "kmeans_purity", "stability")
    lines = [
        (r["table"], r["clusterer"], *("-" if r[k] is None else r[k] for k in keys)) for r in rows
    ]
    return (
        "# How good a map each clusterer draws\n\n"
        "`python -m simulations.clusterers TABLE,...`; what the columns are: "
        f"[clusterers.py](../clusterers.py).\n\n{grid(head, lines)}"
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw clusters over time and AMI beside k-means', one row of panels a table."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "clusterers"
    from matplotlib import pyplot

    tables = list(dict.fromkeys(r["table"] for r in rows))
    figure, panels = pyplot.subplots(
        len(tables), 2, figsize=(11, 3.6 * len(tables)), squeeze=False, layout="constrained"
    )
    for (left, right), table in zip(panels, tables, strict=True):
        here = [r for r in rows if r["table"] == table]
        for i, r in enumerate(here):
            time = np.linspace(0, r["prompts"], len(r["clusters_over_time"]))
            left.plot(time, r["clusters_over_time"], label=r["clusterer"], color=f"C{i % 10}")
            right.scatter(r["kmeans_ami"], r["ami"], color=f"C{i % 10}")
        left.set(title=f"{table}: live clusters", xlabel="prompts")
        right.axline((0.4, 0.4), slope=1, color="grey", linewidth=0.8)
        right.set(title="AMI", xlabel="k-means, as many clusters", ylabel="one pass")
        left.legend(fontsize=6)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run the study; see the module."""
    parser = parser_of(__doc__)
    parser.add_argument("--limit", type=int, default=6000, help="prompts of each table")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for folder in args.tables:
        rows += study(folder, args.limit)
        keep_rows(args.out, "clusterers", rows, as_markdown, by=("table", "clusterer"))
    print(as_markdown(rows))
    try:
        draw(standing(args.out, "clusterers"), args.out / "clusterers.svg")
    except ImportError:
        print("no figure: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
