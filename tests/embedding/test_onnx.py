"""The packaged MiniLM without torch: the same vectors, nearly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

from bandit_router.config import EmbedderSettings
from bandit_router.embedding import SentenceTransformerEmbedder, make_embedder
from bandit_router.embedding.minilm_onnx import OnnxMiniLM
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


@needs_onnx
@pytest.mark.minilm
def test_a_vector_depends_on_its_own_prompt_alone(tmp_path: Path) -> None:
    embedder = OnnxMiniLM(threads=2, folder=tmp_path)
    alone = np.concatenate([embedder.encode([prompt]) for prompt in PROMPTS])
    assert np.array_equal(embedder.encode(PROMPTS), alone)
    assert np.array_equal(embedder.encode(PROMPTS[::-1]), alone[::-1])
    assert embedder.encode([]).shape == (0, 384)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(embedder.encode, [[prompt] for prompt in PROMPTS * 3]))
    assert np.array_equal(np.concatenate(found), np.tile(alone, (3, 1)))


class Counted:
    """A network of which is known how many runs are under way at once."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.now = self.most = 0

    def run(self, *args: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return self.session.run(*args)
        finally:
            self.now -= 1


@needs_onnx
@pytest.mark.minilm
@pytest.mark.parametrize("threads", [1, 2])
def test_it_takes_no_more_threads_than_it_may_whoever_calls(tmp_path: Path, threads: int) -> None:
    embedder = OnnxMiniLM(threads=threads, folder=tmp_path)
    embedder.load()
    embedder._together = embedder._on_one = counted = Counted(embedder._on_one)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(embedder.encode, [["one"], ["two", "three"]] * 12))
    assert [len(vectors) for vectors in found] == [1, 2] * 12
    assert counted.most == threads


@needs_onnx
@pytest.mark.minilm
def test_threads_share_a_prompt_where_none_has_come_beside_another(tmp_path: Path) -> None:
    embedder = OnnxMiniLM(threads=2, folder=tmp_path)
    embedder.load()
    seen: list[str] = []
    beside: list[str] = []  # come while one is encoded

    class Noted:
        def __init__(self, name: str, session: Any) -> None:
            self.name, self.session = name, session

        def run(self, *args: Any) -> Any:
            seen.append(self.name)
            if beside:
                pool.submit(embedder.encode, [beside.pop()])
                while embedder._calls < 2:
                    sleep(0.001)
            return self.session.run(*args)

    embedder._together = Noted("together", embedder._together)
    embedder._on_one = Noted("one", embedder._on_one)
    for text in ("first", "second", "third", "fourth"):
        beside += ["another"] if text == "second" else []
        with ThreadPoolExecutor(1) as pool:
            embedder.encode([text])
    assert seen == ["together", "together", "one", "one", "together"]


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
