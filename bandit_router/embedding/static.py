"""Static embeddings: a table of token vectors, averaged. No neural network runs, torch never loads.

The table is distilled from the packaged all-MiniLM-L6-v2 by `simulations/distill_static.py`
(Model2Vec's method [1]_); it ships with its tokenizer, see ``data/NOTICE.md``.

References
----------
.. [1] Tulkens, S. & van Dongen, T. (2024). Model2Vec: Turn any Sentence Transformer into a Small
   Fast Model. https://github.com/MinishLab/model2vec
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATIC = "static"
REVISION = 1
"""Rises with every other table that is shipped."""

HALF = 2048
"""Of a longer text so many characters are read at its head, and as many at its tail.

The average over a long text no longer moves, and nobody may keep the event loop busy with one.
"""


class StaticEmbedder:
    """Unit vectors of 256 dimensions: the weighted mean of the text's token vectors.

    Examples
    --------
    >>> embedder = StaticEmbedder()
    >>> python, code, soup = embedder.encode(["a Python bug", "mend my code", "a soup recipe"])
    >>> bool(python @ code > python @ soup)
    True
    """

    name = STATIC
    instant = True

    @property
    def fingerprint(self) -> str:
        """Name of the exact table."""
        return f"{STATIC}-{REVISION}"

    def load(self) -> None:
        """Read the table now rather than at the first prompt."""
        _table()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), 256)."""
        tokenizer, rows, scale = _table()
        read = [_head_and_tail(text) for text in texts]
        out = np.empty((len(read), rows.shape[1]), dtype=np.float32)
        for i, text in enumerate(read):
            ids = tokenizer.encode(text, add_special_tokens=False).ids or [_unknown()]
            out[i] = scale[ids] @ rows[ids].astype(np.float32)
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out


def _head_and_tail(text: str) -> str:
    if len(text) > 2 * HALF:
        text = f"{text[:HALF]} {text[-HALF:]}"
    # The tokenizer takes UTF-8, which has no lone surrogates.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@cache
def _table() -> tuple[Any, NDArray[np.int8], NDArray[np.float32]]:
    """Return the tokenizer, the rows of the table and what each is to be multiplied by."""
    from tokenizers import Tokenizer

    data = resources.files(__package__) / "data"
    with resources.as_file(data / "static.npz") as path, np.load(path, allow_pickle=False) as file:
        rows, scale = file["rows"], file["scale"]
    return Tokenizer.from_str((data / "static-tokenizer.json").read_text("utf-8")), rows, scale


@cache
def _unknown() -> int:
    return int(_table()[0].token_to_id("[UNK]"))
