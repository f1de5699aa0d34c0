"""The embedder without a neural network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Router
from bandit_router.embedding import StaticEmbedder, shipped_projection, static


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_any_text_has_a_unit_vector(text: str) -> None:
    [vector] = StaticEmbedder().encode([text])
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1.0) < 1e-5


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(st.characters(max_codepoint=127), max_size=80),
        st.text("ab Éİ Σς\u0301\u00a0\u2003\x1c\x0b\x85\u200b中—🙂\x00\x7f\t\n.", max_size=80),
        st.lists(
            st.sampled_from(["don't", "snake_case", "[CLS]", "\t", "x" * 120, "3.14", "I", "Ä-ö"])
        ).map(" ".join),
    )
)
def test_the_quick_way_to_tokens_is_the_tokenizer_s(text: str) -> None:
    table = static._table()
    text = static.head_and_tail(text, static.HALF)
    tokens, [end] = table.tokens([text])
    assert tokens[:end].tolist() == table._encoded(text)


def test_odd_texts_have_one_too() -> None:
    odd = ["\ud800", "\x00", " ", "\U0001f600" * 3000, "word " * 50_000, "[CLS] [PAD]"]
    vectors = StaticEmbedder().encode(odd)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_among_others() -> None:
    texts = ["Write a haiku.", "Solve x^2 = 4 for x.", "Traduis en anglais: bonjour"]
    together = StaticEmbedder().encode(texts)
    for text, vector in zip(texts, together, strict=True):
        assert (StaticEmbedder().encode([text])[0] == vector).all()


@pytest.mark.parametrize(("count", "chains"), [(1, [1]), (48, [48]), (63, [*[8] * 7, 4, 2, 1])])
def test_rows_are_added_in_the_same_order_everywhere(count: int, chains: list[int]) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(-127, 128, (500, 16)).astype(np.int8)
    scale = rng.random(500, np.float32)
    ids = rng.integers(0, 500, count).astype(np.uint16)
    expected, at = np.zeros(16, np.float32), 0
    for size in chains:
        part = np.zeros(16)
        for i in ids[at : at + size]:  # the product of two singles is exact in a double
            part = (rows[i] * np.float64(scale[i]) + part).astype(np.float32).astype(np.float64)
        expected += part.astype(np.float32)
        at += size
    out = np.empty(16, np.float32)
    static._sum(rows, scale, ids, out)
    assert (out == expected).all()


def test_squares_are_added_in_the_same_order_everywhere() -> None:
    rng = np.random.default_rng(5)
    size = (50, 256)
    vectors = rng.integers(-2047, 2048, size) * 2.0 ** rng.integers(0, 8, size)  # exact squares
    parts = np.zeros((50, 64))
    for at in range(0, 256, 64):
        parts = (vectors[:, at : at + 64] ** 2 + parts).astype(np.float32).astype(np.float64)
    single = parts.astype(np.float32).reshape(50, 4, 2, 8)
    sixteen = single[:, :, 0] + single[:, :, 1]
    eight = sixteen[:, 0] + sixteen[:, 1] + sixteen[:, 2] + sixteen[:, 3]
    four = eight[:, :4] + eight[:, 4:]
    expected = (four[:, 0] + four[:, 1]) + (four[:, 2] + four[:, 3])
    found = [static._square(vector) for vector in vectors.astype(np.float32)]
    assert found == expected.tolist()
    assert found != (vectors**2).sum(axis=1).astype(np.float32).tolist()


def test_both_ends_of_a_long_text_count() -> None:
    middle = "the weather is fine today and " * 400
    plain, head, tail = StaticEmbedder().encode(
        [middle, "def sort(items): return sorted " * 60 + middle, middle + "bake a cake " * 150]
    )
    assert plain @ head < 0.95
    assert plain @ tail < 0.95


def test_it_finds_what_belongs_together() -> None:
    code, maths, cooking, more_code = StaticEmbedder().encode(
        [
            "Write a Python function that reverses a linked list.",
            "Prove that the square root of two is irrational.",
            "How long do I bake bread at 220 degrees?",
            "Why does my JavaScript loop never end?",
        ]
    )
    assert code @ more_code > max(code @ maths, code @ cooking)


def test_a_router_needs_no_torch_with_it() -> None:
    code = (
        "import sys; from bandit_router import Router\n"
        "router = Router(['small', 'large'], embedder='static')\n"
        "print(router.route('Prove that 17 is prime.').cluster)\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


def test_its_projection_ships_with_it() -> None:
    projection = shipped_projection("static")
    assert projection is not None
    assert projection.components.shape == (64, 256)
    product = projection.components @ projection.components.T
    assert np.allclose(product, np.eye(64), atol=1e-5)
    router = Router(["a"], embedder="static")
    assert router.initial.body["projection"] == projection.digest
