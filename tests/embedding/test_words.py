"""Words that were seen before are not asked about again, and have the tokens they had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.embedding import words
from bandit_router.embedding.words import Words


class Letters:
    """A tokenizer that knows letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.words = Words(self)

    def __call__(self, word: str) -> list[int]:
        self.asked.append(word)
        return [ord(letter) % 65_536 for letter in word]

    def of(self, text: str) -> list[int]:
        tokens, [end] = self.words.tokens([text.encode()])
        return tokens[:end].tolist()


def expected(text: str) -> list[int]:
    return [ord(letter) % 65_536 for letter in text if letter not in "\t\n\r "]


def test_a_word_is_asked_about_once() -> None:
    letters = Letters()
    assert letters.of("to be\tor\nnot  to be ") == expected("tobeornottobe")
    assert letters.asked == ["to", "be", "or", "not"]
    assert letters.of("not\rto be? É É") == expected("nottobe?ÉÉ")
    assert letters.asked[4:] == ["be?", "É"]


def test_blanks_have_no_tokens() -> None:
    assert Letters().of("") == Letters().of(" \t\r\n") == []


@given(st.lists(st.text("ab é中🙂\x00\x0b\u00a0\t\n", max_size=90)))
def test_tokens_stand_in_the_order_of_the_text(texts: list[str]) -> None:
    letters = Letters()
    for _ in range(2):
        tokens, ends = letters.words.tokens([text.encode() for text in texts])
        assert len(ends) == len(texts)
        for start, end, text in zip([0, *ends], ends, texts, strict=False):
            assert tokens[start:end].tolist() == expected(text)
    for text in texts:
        assert letters.of(text) == expected(text)


def test_a_long_word_is_not_kept() -> None:
    letters = Letters()
    longest = "x" * 64
    for _ in range(2):
        assert letters.of(f"{longest} {longest}x") == expected(longest * 2 + "x")
    assert letters.asked == [longest, longest + "x", longest + "x"]


def test_a_full_table_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_POOL", 32)  # three words of four letters
    letters = Letters()
    for _ in range(2):
        assert letters.of("aaaa bbbb cccc aaaa") == expected("aaaabbbbccccaaaa")
    assert letters.asked == ["aaaa", "bbbb", "cccc"]
    assert letters.of("dddd dddd bbbb") == expected("ddddddddbbbb")
    assert letters.asked[3:] == ["dddd", "bbbb"]


def test_a_word_that_finds_no_place_is_asked_about_again() -> None:
    letters = Letters()
    letters.of("a")
    letters.words._places[letters.words._places == 0] = 1  # every place is taken
    for _ in range(2):
        assert letters.of("a bb") == expected("abb")
    assert letters.asked == ["a", "bb", "bb"]
