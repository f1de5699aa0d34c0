"""What is read of an answer while it passes."""

from __future__ import annotations

from typing import Any

from bandit_router.providers.answers import ChatReader


def chunk(index: int, reason: str | None = None, text: str = "") -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "finish_reason": reason}


def test_an_answer_is_whole_when_every_choice_is() -> None:
    reader = ChatReader()
    seen = []
    for choice in (chunk(0, text="a"), chunk(1, text="b"), chunk(0, "stop"), chunk(1, "length")):
        reader.feed({"choices": [choice]})
        seen.append(reader.whole)
    assert seen == [False, False, False, True]
    # Some state the usage in a chunk that has a choice of its own once more.
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    reader.feed({"choices": [chunk(0)], "usage": usage})
    assert reader.whole
    answer = reader.answer
    assert (answer.text, answer.finish_reason, answer.size) == ("a", "stop", 2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2
