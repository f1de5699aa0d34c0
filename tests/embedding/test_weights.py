"""The packaged weights are those that were published, or nothing is loaded."""

from __future__ import annotations

import pytest

from bandit_router.embedding.sentence import (
    SentenceTransformerEmbedder,
    check_weights,
    packaged_minilm,
)
from bandit_router.exceptions import ConfigError


def test_the_packaged_weights_are_the_published_ones() -> None:
    check_weights(packaged_minilm())


def test_other_weights_are_refused_before_they_are_read(tmp_path, monkeypatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr("bandit_router.embedding.sentence.packaged_minilm", lambda: tmp_path)
    with pytest.raises(ConfigError, match="not all-MiniLM-L6-v2 as it was published"):
        SentenceTransformerEmbedder().encode(["text"])
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        SentenceTransformerEmbedder().load()
