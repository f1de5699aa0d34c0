"""Endpoints that LiteLLM reaches: without it, and (where it is installed) with it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bandit_router.config import parse_config
from bandit_router.exceptions import ConfigError
from bandit_router.providers import Call, Fleet, Stream, check_installed
from bandit_router.providers.sse import Event
from bandit_router.providers.wires import wire
from bandit_router.types import Endpoint, Model

ENDPOINT = Endpoint(kind="litellm", model="openai/mock", base_url="http://127.0.0.1:9/v1")
MODEL = Model(name="m", endpoints=(ENDPOINT,))
TALK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
MISSING = importlib.util.find_spec("litellm") is None


@pytest.mark.skipif(not MISSING, reason="LiteLLM is installed")
def test_where_it_is_missing_the_service_does_not_start() -> None:
    raw = {"models": [{"name": "m", "endpoints": [{"kind": "litellm", "model": "bedrock/x"}]}]}
    with pytest.raises(ConfigError, match=r"pip install 'bandit-router\[litellm\]'"):
        check_installed(parse_config(raw).models)


@pytest.mark.skipif(MISSING, reason="LiteLLM is not installed")
async def test_an_endpoint_that_is_down() -> None:
    from bandit_router.providers import Unserved

    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unserved):
            await Fleet(session, 1.0).serve([MODEL], Call("chat", TALK))


class Bare:
    """Gives chunks without bytes, as LiteLLM does."""

    async def events(self) -> AsyncIterator[list[tuple[Event, dict[str, Any] | None]]]:
        for delta, reason in (({"content": "one"}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            yield [(Event(b"", None), {"choices": [choice]})]
        yield [(Event(b"", None), {"choices": [], "usage": {"prompt_tokens": 7}})]


async def test_chunks_without_bytes_are_framed() -> None:
    call = Call("chat", TALK)
    stream = Stream(call, wire(call, MODEL, ENDPOINT), Bare(), "here")
    await stream.begin()
    text = b"".join([piece async for piece in stream.pieces()]).decode()
    first, second, last = text.strip().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {"content": "one"}
    assert json.loads(second.removeprefix("data: "))["choices"][0]["finish_reason"] == "stop"
    assert last == "data: [DONE]"
    assert stream.answer.text == "one"
    assert stream.answer.usage is not None
    assert stream.answer.usage.prompt_tokens == 7
