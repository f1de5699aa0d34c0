"""Batches, the cache, and one computation for equal prompts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bandit_router.exceptions import InvalidInput
from bandit_router.service import encoder as encoder_module
from bandit_router.service.encoder import KEPT_CHARS, MAX_WAITING, Encoder
from bandit_router.service.errors import Unavailable


class Gated:
    """Encodes when the gate is open, and remembers in which batches."""

    name = fingerprint = "gated"
    instant = single = False

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Any:
        if texts != ["warm"]:
            assert self.gate.wait(10)
            self.batches.append(list(texts))
        if "refused" in texts:
            raise InvalidInput("too long", "prompt")
        if "broken" in texts:
            raise OSError("the network is down")
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def instant() -> Gated:
    """Return an embedder that takes no time."""
    embedder = Gated()
    embedder.instant = True
    embedder.gate.set()
    return embedder


async def started(embedder: Gated, **options: int) -> Encoder:
    encoder = Encoder(embedder, **options)
    await encoder.start()
    return encoder


async def ask(encoder: Encoder, *texts: str) -> list[asyncio.Task[Any]]:
    """Return tasks that have all asked, one after another."""
    tasks = [asyncio.ensure_future(encoder.embed(text)) for text in texts]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_shares_a_batch_and_equal_prompts_are_encoded_once() -> None:
    embedder = Gated()
    encoder = await started(embedder, batch_size=3, cache_size=10)
    tasks = await ask(encoder, "first", "a", "bb", "a", "ccc", "dddd")
    embedder.gate.set()
    found = await asyncio.gather(*tasks)
    assert [v[0] for v in found] == [5, 1, 2, 1, 3, 4]
    assert embedder.batches == [["first"], ["a", "bb"], ["ccc"], ["dddd"]]
    assert (await encoder.embed("bb"))[0] == 2
    assert len(embedder.batches) == 4
    encoder.close()


def handed_over(encoder: Encoder) -> list[list[str]]:
    """Return what is filled with the texts that are handed over together."""
    settle, handed = encoder._settle, list[list[str]]()

    def settled(ready: Any) -> None:
        handed.append([text for text, _ in ready])
        settle(ready)

    encoder._settle = settled  # type: ignore[method-assign]
    return handed


async def test_of_one_by_one_as_many_are_handed_over_as_still_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for held, expected in ((60.0, ["abcd", "ef", "g", "h"]), (0.0, list("abcdefgh"))):
        monkeypatch.setattr(encoder_module, "HELD_S", held)
        embedder = Gated()
        embedder.single = True
        encoder = await started(embedder)
        handed = handed_over(encoder)
        tasks = await ask(encoder, *"abcdefgh")
        embedder.gate.set()
        await asyncio.gather(*tasks)
        assert embedder.batches == [[text] for text in "abcdefgh"]
        assert ["".join(texts) for texts in handed] == expected
        encoder.close()


async def test_the_cache_forgets_what_was_asked_for_longest_ago() -> None:
    embedder = Gated()
    embedder.gate.set()
    encoder = await started(embedder, cache_size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await encoder.embed(text)
    assert embedder.batches == [["a"], ["b"], ["c"], ["b"]]
    encoder.close()


async def test_what_takes_no_time_is_kept_too_unless_it_is_long() -> None:
    embedder = instant()
    encoder = await started(embedder, cache_size=2)
    long = "x" * (KEPT_CHARS + 1)
    for text in ("a", "a", long, long):
        assert (await encoder.embed(text))[0] == len(text)
    assert embedder.batches == [["a"], [long], [long]]
    encoder.close()


async def test_of_one_turn_who_leaves_or_is_refused_takes_no_other_with_him() -> None:
    embedder = instant()
    encoder = await started(embedder)
    tasks = [asyncio.ensure_future(encoder.embed(text)) for text in ("a", "refused", "gone", "bb")]
    await asyncio.sleep(0)  # all have asked, nothing is encoded
    assert embedder.batches == []
    tasks[2].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert (found[0][0], found[3][0]) == (1, 2)
    assert isinstance(found[1], InvalidInput)
    assert isinstance(found[2], asyncio.CancelledError)
    assert embedder.batches == [["a", "refused", "bb"], ["a"], ["refused"], ["bb"]]
    encoder.close()


async def test_what_a_turn_asks_is_encoded_at_once_and_a_kept_vector_keeps_no_other() -> None:
    embedder = instant()
    encoder = await started(embedder, cache_size=1)
    found = await asyncio.gather(*(encoder.embed(text) for text in ("a", "bb", "bb")))
    assert [vector[0] for vector in found] == [1, 2, 2]
    assert embedder.batches == [["a", "bb", "bb"]]
    kept = await encoder.embed("bb")
    assert kept[0] == 2
    assert kept.base is None
    encoder.close()


async def test_a_refused_prompt_does_not_take_others_with_it() -> None:
    embedder = Gated()
    encoder = await started(embedder)
    tasks = await ask(encoder, "first", "a", "refused", "b")
    embedder.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[2], InvalidInput)
    assert [v[0] for v in (found[0], found[1], found[3])] == [5, 1, 1]
    encoder.close()


async def test_a_failure_is_told_and_the_next_prompt_is_tried_again() -> None:
    embedder = Gated()
    embedder.gate.set()
    encoder = await started(embedder)
    with pytest.raises(Unavailable, match="network is down"):
        await encoder.embed("broken")
    assert (await encoder.embed("a"))[0] == 1
    encoder.close()


async def test_too_few_vectors_are_a_failure_and_the_next_prompt_is_tried_again() -> None:
    embedder = Gated()
    embedder.gate.set()
    encoder = await started(embedder)
    encode, embedder.encode = embedder.encode, lambda texts: []  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="the encoder failed"):
        await encoder.embed("a")
    embedder.encode = encode  # type: ignore[method-assign]
    assert (await encoder.embed("a"))[0] == 1
    encoder.close()
    with pytest.raises(Unavailable, match="closed"):
        await encoder.embed("a")


async def test_closing_drops_what_waits() -> None:
    embedder = Gated()
    encoder = await started(embedder)
    tasks = await ask(encoder, "first", "a", "b")
    encoder.close()
    embedder.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 3
    await asyncio.sleep(0.01)
    assert embedder.batches in ([], [["first"]])


async def test_a_caller_that_leaves_does_not_take_others_with_it() -> None:
    embedder = Gated()
    encoder = await started(embedder)
    first, second = await ask(encoder, "same", "same")
    first.cancel()
    embedder.gate.set()
    assert (await second)[0] == 4
    encoder.close()


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("warm", [False, True])
async def test_only_so_many_wait_however_they_ask(at_once: bool, warm: bool) -> None:
    embedder = instant() if at_once else Gated()
    encoder = Encoder(embedder)
    if warm:
        await encoder.start()

    async def asked(number: int) -> Any:
        return await encoder.embed(f"prompt {number}")

    many = range(MAX_WAITING + 7)
    asking = asyncio.gather(*(asked(i) for i in many), return_exceptions=True)
    await asyncio.sleep(0)
    embedder.gate.set()
    if not warm:
        await encoder.start()
    refused = [one for one in await asking if isinstance(one, Unavailable)]
    encoder.close()
    assert len(refused) == 7


async def test_who_is_gathered_is_counted_too() -> None:
    encoder = await started(embedder := Gated())
    asking = asyncio.gather(
        *(encoder.embed(f"prompt {i}") for i in range(MAX_WAITING + 7)), return_exceptions=True
    )
    await asyncio.sleep(0)
    embedder.gate.set()
    assert sum(isinstance(one, Unavailable) for one in await asking) == 7
    encoder.close()
