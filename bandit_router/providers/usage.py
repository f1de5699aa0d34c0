"""What an answer used, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..types import Endpoint, Model

_BYTES_PER_TOKEN = 4
_IMAGE_TOKENS = 1000
_MESSAGE_TOKENS = 4
_CACHED_SHARE = 0.1
_WRITTEN_SHARE = 1.25  # what Anthropic takes for input that it writes into its cache
_TOO_MANY = 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts in OpenAI's way: cached ones are of the prompt, reasoning of the completion.

    `estimated` says that the provider stated none and they were counted from the texts.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @classmethod
    def stated(cls, usage: Any) -> Usage | None:
        """Return a provider's ``usage`` object, of chat completions or responses; None if none."""
        if not isinstance(usage, dict):
            return None
        prompt = _count(usage, "prompt_tokens", "input_tokens")
        completion = _count(usage, "completion_tokens", "output_tokens")
        if prompt is None:
            return None
        read = _details(usage, "prompt_tokens_details", "input_tokens_details")
        wrote = _details(usage, "completion_tokens_details", "output_tokens_details")
        return cls(
            prompt,
            completion or 0,  # embeddings have none
            cached_tokens=min(_count(read, "cached_tokens") or 0, prompt),
            cache_write_tokens=_count(read, "cache_write_tokens") or 0,
            reasoning_tokens=_count(wrote, "reasoning_tokens") or 0,
        )

    def cost(self, model: Model, endpoint: Endpoint | None = None) -> float | None:
        """Return the cost in US dollars at the endpoint's prices, else the model's; None: unknown.

        Cached input without a price of its own costs a tenth.
        """
        price = [_price(name, model, endpoint) for name in ("input", "output", "cached_input")]
        if price[0] is price[1] is None:
            return None
        into, out = price[0] or 0.0, price[1] or 0.0
        cached = _CACHED_SHARE * into if price[2] is None else price[2]
        plain = max(0, self.prompt_tokens - self.cached_tokens - self.cache_write_tokens)
        spent = plain * into + self.cached_tokens * cached
        spent += self.cache_write_tokens * _WRITTEN_SHARE * into
        return (spent + self.completion_tokens * out) / 1e6


def count(asked: dict[str, Any]) -> int:
    """Return an estimate of a request's tokens; see `estimate`."""
    return estimate(asked, 0).prompt_tokens


def estimate(asked: dict[str, Any], answered: int) -> Usage:
    """Return an estimate of what a request and `answered` bytes of answer used.

    A token is about four bytes of UTF-8, whatever the language; pictures count as a thousand
    tokens, since their size says nothing.
    """
    texts = [asked.get(name) for name in ("messages", "input", "system", "instructions", "tools")]
    weights = [_weight(item) for text in texts for item in _leaves(text)]
    turns = asked.get("messages")
    turned = _MESSAGE_TOKENS * len(turns) if isinstance(turns, list) else 0
    return Usage(
        turned + sum(weights) // _BYTES_PER_TOKEN, answered // _BYTES_PER_TOKEN, estimated=True
    )


def _weight(text: str) -> int:
    if text.startswith("data:") or (len(text) > 1_000 and " " not in text[:1_000]):
        return _IMAGE_TOKENS * _BYTES_PER_TOKEN  # a file in base64
    return len(text.encode("utf-8", "replace"))


def _leaves(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, str):
            yield here
        elif isinstance(here, dict):
            todo.extend(here.values())
        elif isinstance(here, list):
            todo.extend(here)


def _price(name: str, model: Model, endpoint: Endpoint | None) -> float | None:
    key = f"{name}_usd_per_m"
    own: float | None = getattr(endpoint, key, None)
    listed: float | None = getattr(model, key)
    return listed if own is None else own


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})


def _count(of: dict[str, Any], *names: str) -> int | None:
    for name in names:
        found = of.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < _TOO_MANY:
            return found
    return None
