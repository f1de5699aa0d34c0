"""What all tests share."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Sequence

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

# No test asserts a time: what is compiled at its first call would fail one by chance. Every run
# tries the same cases; `make hostile` tries others each time.
ALIKE = "HOSTILE" not in os.environ
hypothesis.settings.register_profile("unhurried", deadline=None, derandomize=ALIKE)
hypothesis.settings.load_profile("unhurried")


class WordsEmbedder:
    """Unit vectors of hashed words: deterministic, instant, and near where texts share words."""

    name = "words"
    fingerprint = "words-1"
    dimension = 48

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.full((len(texts), self.dimension), 1e-3, dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                code = zlib.crc32(word.encode())
                row[code % self.dimension] += 1.0 if code & 0x10000 else -1.0
        return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.fixture
def embedder() -> WordsEmbedder:
    return WordsEmbedder()
