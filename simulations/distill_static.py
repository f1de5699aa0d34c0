"""Distil the token vectors that ship as the embedder `static` from the packaged MiniLM.

    python -m simulations.distill_static --out bandit_router/embedding/data

Model2Vec's method (Tulkens & van Dongen, 2024, https://github.com/MinishLab/model2vec): every
token of the vocabulary goes through the network by itself; the vectors are cut down to their
principal components, which also takes out what is common to all of them; and each is weighted by
how rare it is, by smooth inverse frequency (Arora, Liang & Ma, 2017, "A simple but tough-to-beat
baseline for sentence embeddings") with Zipf's law for the frequency, the vocabulary being ordered
by it. Kept as 8-bit integers with one scale a row: a quarter of the size of single precision.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bandit_router.embedding.sentence import packaged_minilm

DIMENSIONS = 256
SIF = 1e-4
BATCH = 1024


def token_vectors(model: Any) -> NDArray[np.float64]:
    """Return what the network makes of each token by itself, shape (vocabulary, dimension)."""
    import torch

    transformer, tokenizer = model[0], model.tokenizer
    out = []
    for start in tqdm(range(0, tokenizer.vocab_size, BATCH), unit="batch"):
        ids = torch.arange(start, min(tokenizer.vocab_size, start + BATCH))
        first = torch.full_like(ids, tokenizer.cls_token_id)
        last = torch.full_like(ids, tokenizer.sep_token_id)
        tokens = torch.stack([first, ids, last], dim=1)
        with torch.inference_mode():
            found = transformer({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)})
        out.append(found["token_embeddings"].mean(dim=1).double().numpy())
    return np.concatenate(out)


def principal(vectors: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Return the first principal components of `vectors`, shape (vocabulary, dimensions)."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimensions]
    # An axis may point either way: one rule, so that every run gives the same table.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dimensions)])
    return centred @ axes


def weights(vocabulary: int) -> NDArray[np.float64]:
    """Return the smooth inverse frequency of each token, shape (vocabulary,)."""
    share = 1.0 / np.arange(1, vocabulary + 1)
    share /= share.sum()
    return SIF / (SIF + share)


def main() -> None:
    """Distil and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="Folder of static.npz.")
    args = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    where = packaged_minilm()
    vectors = principal(token_vectors(SentenceTransformer(str(where), device="cpu")), DIMENSIONS)
    vectors *= weights(len(vectors))[:, None]
    scale = np.abs(vectors).max(axis=1) / 127
    rows = np.round(vectors / scale[:, None]).astype(np.int8)
    np.savez(args.out / "static.npz", rows=rows, scale=scale.astype(np.float32))
    tokenizer = json.loads((where / "tokenizer.json").read_text("utf-8"))
    # What a user writes is text, also if it looks like one of the network's own marks.
    tokenizer |= {"truncation": None, "padding": None, "added_tokens": [], "post_processor": None}
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (args.out / "static-tokenizer.json").write_text(text, "utf-8")
    print(f"{len(rows):,} tokens of {DIMENSIONS} dimensions")


if __name__ == "__main__":
    main()
