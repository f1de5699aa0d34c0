"""Static embeddings: a table of token vectors, averaged. No neural network runs, torch never loads.

The table is distilled from the packaged all-MiniLM-L6-v2 by `simulations/distill_static.py`
(Model2Vec's method [1]_); it ships with its tokenizer, see ``data/NOTICE.md``.

References
----------
.. [1] Tulkens, S. & van Dongen, T. (2024). Model2Vec: Turn any Sentence Transformer into a Small
   Fast Model. https://github.com/MinishLab/model2vec
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, fused

STATIC = "static"
REVISION = 1
"""Rises with every other table that is shipped."""

HALF = 2048
"""Of a longer text so many characters are read at its head, and as many at its tail.

The average over a long text no longer moves, and nobody may keep the event loop busy with one.
"""


MAX_WORDS = 50_000
"""Words whose tokens are remembered."""

_WORD_CHARS = 64
"""Longer ones hardly come again: addresses, code, data."""

_BETWEEN_BLANKS = re.compile(r"[^\t\n\r ]+").findall
_PLAIN = bytes([*b"\t\n\r", *range(ord(" "), ord("~") + 1)])


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
        for i, text in enumerate(texts):
            table.write(head_and_tail(text, HALF), out[i])
        return out


def head_and_tail(text: str, half: int) -> str:
    """Return the first and the last `half` characters of a longer text, as can be encoded."""
    if len(text) > 2 * half:
        text = f"{text[:half]} {text[-half:]}"
    # UTF-8 has no lone surrogates.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class _Table:
    """Token vectors with their tokenizer, and the tokens of words seen before.

    BERT's tokenizer parts a text at every blank before it looks for tokens. What stands between
    two blanks, with its signs, has mostly been seen before: several times faster than to ask the
    tokenizer. Lower case is safe to make only of ASCII; of other texts it is the tokenizer's.
    """

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        data = resources.files(__package__) / "data"
        with resources.as_file(data / "static.npz") as path, np.load(path) as file:
            self._rows, self._scale = file["rows"], file["scale"]
        text = (data / "static-tokenizer.json").read_text("utf-8")
        self._tokenizer = Tokenizer.from_str(text)
        self._unknown = np.array([self._tokenizer.token_to_id("[UNK]") or 0])
        self._known = _Words(self._encoded).__getitem__
        self.dimension = self._rows.shape[1]

    def write(self, text: str, out: NDArray[np.float32]) -> None:
        """Write the unit vector of `text` to `out`."""
        ids = self.tokens(text)
        if not ids.size:
            ids = self._unknown
        _sum(self._rows, self._scale, ids, out)
        out /= np.float32(math.sqrt(out @ out))

    def tokens(self, text: str) -> NDArray[np.intp]:
        """Return the tokens of `text`, none for one of blanks."""
        plain = text.isascii() and not text.encode().translate(None, _PLAIN)
        words = text.lower().split() if plain else _BETWEEN_BLANKS(text)
        data = b"".join(map(self._known, words))
        return np.frombuffer(data, dtype=np.intp)

    def _encoded(self, text: str) -> bytes:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return np.array(ids, dtype=np.intp).tobytes()


@compiled
def _sum(
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    ids: NDArray[np.intp],
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


class _Words(dict[str, bytes]):
    """The tokens of words, as bytes; asked of `encode` when they are first seen."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> bytes:
        ids = self._encode(word)
        if len(word) <= _WORD_CHARS:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids


@cache
def _table() -> _Table:
    return _Table()
