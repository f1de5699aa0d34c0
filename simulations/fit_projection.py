"""Fit a projection that ships with an embedder: principal components of public prompts.

    python -m simulations.fit_projection prompts.jsonl [...] --out minilm-projection.npz
    python -m simulations.fit_projection prompts.jsonl [...] --embedder static \\
        --out static-projection.npz

Every file is one source: JSON objects with a `prompt` (as in a routing table's
``prompts.jsonl.gz``), one a line. Each source gives at most `--per-source` prompts, drawn with
a fixed seed, so that no source decides alone what the map can tell apart.

The shipped files were fitted on seven public sources: the prompts of MMLU-Pro, RouteLLM's
evaluation (MMLU, GSM8K), ParetoBandit's validation split and LLMRouter's preprocessed tasks;
Self-Instruct's seed and user-oriented instructions; its sample of T0 training templates; and
the Berkeley function-calling leaderboard's questions.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

from bandit_router.config import EmbedderSettings
from bandit_router.embedding import CachedEmbedder, make_embedder

COMPONENTS = 64


def prompts_of(path: Path) -> list[str]:
    """Return the prompts of a JSONL file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["prompt"] for line in lines if line.strip()]


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--per-source", type=int, default=1500)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    embedder = CachedEmbedder(make_embedder(EmbedderSettings(name=args.embedder)))
    rng = np.random.default_rng(0)
    chosen = []
    for path in args.files:
        prompts = prompts_of(path)
        rows = np.sort(rng.permutation(len(prompts))[: args.per_source])
        chosen.append(embedder.encode([prompts[i] for i in rows]).astype(np.float64))
        print(f"{path}: {len(rows)} of {len(prompts)} prompts")
    sample = np.concatenate(chosen)
    mean = sample.mean(axis=0)
    _, singular, rows = np.linalg.svd(sample - mean, full_matrices=False)
    share = np.cumsum(singular**2) / (singular**2).sum()
    np.savez_compressed(
        args.out, mean=mean.astype(np.float32), components=rows[:COMPONENTS].astype(np.float32)
    )
    print(f"{len(sample)} prompts; 24 components hold {share[23]:.2f} of the variance")


if __name__ == "__main__":
    main()
