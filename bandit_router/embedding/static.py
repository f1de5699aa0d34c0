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

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, fused
from .words import Words

STATIC = "static"
REVISION = 1
"""Rises with every other table that is shipped."""

HALF = 2048
"""Of a longer text so many characters are read at its head, and as many at its tail.

The average over a long text no longer moves, and nobody may keep the event loop busy with one.
"""

_TOGETHER = 256
"""Texts read at once: a call for each costs more, all tokens of a large table much memory."""


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
        table = _table()
        out = np.empty((len(texts), table.dimension), dtype=np.float32)
        for at in range(0, len(texts), _TOGETHER):
            part = slice(at, at + _TOGETHER)
            table.write([head_and_tail(text, HALF) for text in texts[part]], out[part])
        return out


def head_and_tail(text: str, half: int) -> str:
    """Return the first and the last `half` characters of a longer text, as can be encoded."""
    if len(text) > 2 * half:
        text = f"{text[:half]} {text[-half:]}"
    # UTF-8 has no lone surrogates.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class _Table:
    """Token vectors with their tokenizer, which is BERT's.

    It reads a text letter by letter, so that those of ASCII may be in lower case before.
    """

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        data = resources.files(__package__) / "data"
        with resources.as_file(data / "static.npz") as path, np.load(path) as file:
            self._rows, self._scale = file["rows"], file["scale"]
        text = (data / "static-tokenizer.json").read_text("utf-8")
        self._tokenizer = Tokenizer.from_str(text)
        self._unknown = np.array([self._tokenizer.token_to_id("[UNK]") or 0], np.uint16)
        self._words = Words(self._encoded)
        self.dimension = self._rows.shape[1]

    def write(self, texts: Sequence[str], out: NDArray[np.float32]) -> None:
        """Write the unit vectors of texts to the rows of `out`."""
        ids, ends = self.tokens(texts)
        _means(self._rows, self._scale, ids, ends, self._unknown, out)

    def tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
        """Return the tokens of texts, one after another, and where those of each end."""
        return self._words.tokens([text.encode().lower() for text in texts])

    def _encoded(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


@compiled
def _means(
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    ids: NDArray[np.uint16],
    ends: NDArray[np.intp],
    unknown: NDArray[np.uint16],
    out: NDArray[np.float32],
) -> None:
    """Write the unit vectors of sums of rows, one for each end; that of none is `unknown`."""
    start = 0
    for i in range(len(ends)):
        _sum(rows, scale, ids[start : ends[i]] if ends[i] > start else unknown, out[i])
        norm = np.sqrt(_square(out[i]))
        for j in range(out.shape[1]):
            out[i, j] /= norm
        start = ends[i]


@compiled
def _sum(
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    ids: NDArray[np.uint16],
    out: NDArray[np.float32],
) -> None:
    """Write the sum of rows by their scales, which hold the weights of tokens too.

    Up to 48 rows are one chain of additions, more are chains of 8: as OpenBLAS adds them on
    processors with AVX-512. Every processor comes to the same numbers.
    """
    part = np.empty(len(out), np.float32)
    out[:] = 0.0
    size = 8 if len(ids) > 48 else len(ids)
    at = 0
    while at < len(ids):
        while at + size > len(ids):
            size //= 2
        part[:] = 0.0
        for i in ids[at : at + size]:
            for j in range(len(out)):
                part[j] = fused(scale[i], np.float32(rows[i, j]), part[j])
        for j in range(len(out)):
            out[j] += part[j]
        at += size


@compiled
def _square(vector: NDArray[np.float32]) -> float:
    """Return the product of a vector, of a multiple of 64 dimensions, with itself.

    The order of its additions is OpenBLAS's on processors with AVX-512, here on all.
    """
    part = np.zeros(64, np.float32)
    for at in range(0, len(vector), 64):
        for j in range(64):
            part[j] = fused(vector[at + j], vector[at + j], part[j])
    for at in range(0, 64, 16):
        for j in range(at, at + 8):
            part[j] += part[j + 8]
    for at in range(16, 64, 16):
        for j in range(8):
            part[j] += part[at + j]
    for j in range(4):
        part[j] += part[j + 4]
    total: float = (part[0] + part[1]) + (part[2] + part[3])
    return total


@cache
def _table() -> _Table:
    return _Table()
