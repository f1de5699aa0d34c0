"""The tokens of words seen before, where machine code finds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled

_PLACES = 1 << 17
_POOL = 1 << 19
"""Numbers that are held: some 50,000 English words with their tokens."""

_TRIED = 8
"""Places looked at for a word: nobody makes a search long by words that want the same place."""

_LONG = 64
"""Bytes of a word; longer ones hardly come again: addresses, code, data."""

_WORD = re.compile(rb"[^\t\n\r ]+").match


class Words:
    """Tokens of texts, which a tokenizer parts at every blank before it looks for them.

    What stands between two blanks, with its signs, has mostly been seen before. It is found in a
    hash table of arrays, in half the time that it takes to split strings and ask a dictionary.
    When the table is full it begins anew.

    Parameters
    ----------
    encode
        The tokenizer: the tokens of a word, no more than it has bytes.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._places = np.zeros(_PLACES, np.int32)  # where in the pool a word begins; 0: free
        self._pool = np.empty(_POOL, np.uint16)
        self._end = np.ones(1, np.intp)  # of what is written in the pool

    def tokens(self, texts: Iterable[bytes]) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
        """Return the tokens of texts in UTF-8, one after another, and where those of each end."""
        lines = [text + b" " for text in texts]
        joined = b"".join(lines)
        ends = np.array(list(accumulate(map(len, lines))), dtype=np.intp)
        out = np.empty(len(joined), np.uint16)
        done = np.zeros(3, np.intp)
        while not _known(joined, done, ends, self._places, self._pool, out):
            self._ask(joined, done, out)
        return out, ends

    def _ask(self, text: bytes, done: NDArray[np.intp], out: NDArray[np.uint16]) -> None:
        """Write the tokens of a word that is not known, and keep them."""
        at, count, _ = done.tolist()
        match = _WORD(text, at)
        assert match
        word = match[0]
        tokens = np.array(self._encode(word.decode()), dtype=np.uint16)
        out[count : count + len(tokens)] = tokens
        done[0] += len(word)
        done[1] += len(tokens)
        if len(word) <= _LONG:
            _keep(word, tokens, self._places, self._pool, self._end)


@compiled
def _known(
    text: bytes,
    done: NDArray[np.intp],
    ends: NDArray[np.intp],
    places: NDArray[np.int32],
    pool: NDArray[np.uint16],
    out: NDArray[np.uint16],
) -> bool:
    """Write the tokens of known words; return whether these are all.

    `done` counts bytes, tokens and texts; of a text that is done, `ends` counts tokens.
    """
    at, count, number = done[0], done[1], done[2]
    while at < len(text):
        if _blank(text[at]):
            at += 1
            if at == ends[number]:
                ends[number] = count
                number += 1
            continue
        end, place = _word(text, at)
        entry = _found(text, at, end, place, places, pool)
        if entry == 0 or count + pool[entry + 1] > len(out):
            break
        for i in range(entry + 2, entry + 2 + pool[entry + 1]):
            out[count] = pool[i]
            count += 1
        at = end
    done[0], done[1], done[2] = at, count, number
    return bool(at == len(text))


@compiled
def _keep(
    word: bytes,
    tokens: NDArray[np.uint16],
    places: NDArray[np.int32],
    pool: NDArray[np.uint16],
    end: NDArray[np.intp],
) -> None:
    """Keep the tokens of a word: the length of both, the tokens, the word."""
    if end[0] + 2 + len(tokens) + len(word) > len(pool):
        for i in range(len(places)):
            places[i] = 0
        end[0] = 1
    _, place = _word(word, 0)
    for i in range(place, place + _TRIED):
        if places[i % _PLACES] == 0:
            at = end[0]
            places[i % _PLACES] = at
            pool[at] = len(word)
            pool[at + 1] = len(tokens)
            at += 2
            for token in tokens:
                pool[at] = token
                at += 1
            for byte in word:
                pool[at] = byte
                at += 1
            end[0] = at
            return


@compiled
def _word(text: bytes, at: int) -> tuple[int, int]:
    """Return where the word that begins at `at` ends, and its place (FNV-1a)."""
    hashed = -3750763034362895579
    while at < len(text) and not _blank(text[at]):
        hashed = (hashed ^ text[at]) * 1099511628211
        at += 1
    return at, (hashed >> 40) & (_PLACES - 1)


@compiled
def _found(
    text: bytes,
    at: int,
    end: int,
    place: int,
    places: NDArray[np.int32],
    pool: NDArray[np.uint16],
) -> int:
    """Return where the pool holds the word from `at` to `end`, or 0."""
    for i in range(place, place + _TRIED):
        entry = places[i % _PLACES]
        if entry == 0:
            break
        if pool[entry] == end - at:
            start = entry + 2 + pool[entry + 1] - at
            same = at
            while same < end and pool[start + same] == text[same]:
                same += 1
            if same == end:
                return int(entry)
    return 0


@compiled
def _blank(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 10 or byte == 13
