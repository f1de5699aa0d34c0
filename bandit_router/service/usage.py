"""What an answer used, read from a body or from a stream while it passes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..types import Model

_CHARS_PER_TOKEN = 4
_MAX_LINE = 1_000_000
_CACHED_SHARE = 0.1


@dataclass
class Usage:
    """Token counts; `estimated` if the provider gave none and they were counted from the text."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    estimated: bool = False

    @classmethod
    def of(cls, answer: dict[str, Any], asked: dict[str, Any]) -> Usage:
        """Return the usage that an answer states, else an estimate from the texts."""
        stated = cls.stated(answer.get("usage"))
        if stated is not None:
            return stated
        texts = [choice.get("message") for choice in answer.get("choices") or [{}]]
        return cls(
            prompt_tokens=len(json.dumps(asked.get("messages"))) // _CHARS_PER_TOKEN,
            completion_tokens=len(json.dumps(texts)) // _CHARS_PER_TOKEN,
            estimated=True,
        )

    @classmethod
    def stated(cls, usage: Any) -> Usage | None:
        """Return a provider's ``usage`` object as a `Usage`, None if it is none."""
        if not isinstance(usage, dict):
            return None
        counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        if not all(isinstance(c, int) and 0 <= c < 10**9 for c in counts):
            return None
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return cls(counts[0], counts[1], cached if isinstance(cached, int) else 0)

    def cost(self, model: Model) -> float | None:
        """Return the cost at list prices in US dollars; cached input at a tenth."""
        if self.prompt_tokens is None or model.input_usd_per_m is model.output_usd_per_m is None:
            return None
        cached = min(max(self.cached_tokens, 0), self.prompt_tokens)
        full = self.prompt_tokens - cached + _CACHED_SHARE * cached
        spent = full * (model.input_usd_per_m or 0.0)
        return (spent + (self.completion_tokens or 0) * (model.output_usd_per_m or 0.0)) / 1e6


class UsageReader:
    """Reads the usage out of a stream of server-sent events, whatever way it is cut."""

    def __init__(self) -> None:
        self._left = b""
        self._stated: Usage | None = None
        self._chars = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._left = (self._left + chunk).split(b"\n")
        self._left = self._left[-_MAX_LINE:]
        for line in lines:
            if line.startswith(b"data:") and b"[DONE]" not in line:
                self._event(line[5:])

    def usage(self) -> Usage:
        """Return what was stated, else an estimate from what has passed."""
        if self._stated is not None:
            return self._stated
        return Usage(None, self._chars // _CHARS_PER_TOKEN, estimated=True)

    def _event(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        self._stated = Usage.stated(event.get("usage")) or self._stated
        for choice in event.get("choices") or ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            content = delta.get("content") if isinstance(delta, dict) else None
            self._chars += len(content) if isinstance(content, str) else 0
