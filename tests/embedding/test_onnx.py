"""The packaged MiniLM without torch: the same vectors, nearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandit_router.config import EmbedderSettings
from bandit_router.embedding import SentenceTransformerEmbedder, make_embedder
from bandit_router.embedding.minilm_onnx import BATCH_TOKENS, PADDING, OnnxMiniLM, batches
from bandit_router.exceptions import ConfigError

PROMPTS = [
    "Write a Python function to remove duplicates from a list.",
    "Prove that 17 is prime.",
    "x",
    "Translate to French: " + "the cat sat on the mat and looked at the moon. " * 60,
    "Which of these is a mammal?\nA. shark\nB. whale\nC. trout\nD. squid",
    "\ud800 half a pair",
]

needs_onnx = pytest.mark.skipif(not OnnxMiniLM.installed(), reason="the extra onnx")


@needs_onnx
@pytest.mark.minilm
def test_it_agrees_with_sentence_transformers(tmp_path: Path) -> None:
    fast = OnnxMiniLM(folder=tmp_path).encode(PROMPTS)
    assert fast.dtype == np.float32
    assert np.allclose(np.linalg.norm(fast, axis=1), 1.0, atol=1e-5)
    reference = SentenceTransformerEmbedder().encode(
        [p.encode("utf-8", "replace").decode() for p in PROMPTS]
    )
    assert (fast * reference).sum(axis=1).min() > 0.98
    assert [path.suffix for path in tmp_path.iterdir()] == [".onnx"]


@pytest.mark.parametrize("seed", range(5))
def test_batches_hold_every_text_once_and_pad_little(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(3, 257, 200).tolist()
    found = list(batches(lengths))
    assert sorted(i for group in found for i in group) == list(range(200))
    for group in found:
        padded = len(group) * lengths[group[-1]]
        assert lengths[group[-1]] == max(lengths[i] for i in group)
        assert len(group) == 1 or padded <= BATCH_TOKENS
        assert padded <= PADDING * sum(lengths[i] for i in group) + 1e-9


def test_nothing_makes_no_batch() -> None:
    assert list(batches([])) == []


def test_the_settings_name_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = make_embedder(EmbedderSettings(backend="torch"))
    assert isinstance(torch, SentenceTransformerEmbedder)
    onnx = make_embedder(EmbedderSettings(backend="onnx"))
    assert isinstance(onnx, OnnxMiniLM)
    assert onnx.fingerprint != torch.fingerprint
    monkeypatch.setattr(OnnxMiniLM, "installed", staticmethod(lambda: False))
    assert isinstance(make_embedder(EmbedderSettings()), SentenceTransformerEmbedder)
    with pytest.raises(ConfigError, match=r"bandit-router\[onnx\]"):
        onnx.encode(["x"])
