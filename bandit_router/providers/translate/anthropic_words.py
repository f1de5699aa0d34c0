"""Why an answer ended and what it used, in the words of both APIs."""

from __future__ import annotations

from typing import Any

from .base import Json

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_BACK = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def chat_reason(reason: str | None) -> str | None:
    """Return Anthropic's ``stop_reason`` as OpenAI's ``finish_reason``."""
    return None if reason is None else _REASONS.get(reason, "stop")


def messages_reason(reason: str | None) -> str:
    """Return OpenAI's ``finish_reason`` as Anthropic's ``stop_reason``."""
    return _BACK.get(reason or "stop", "end_turn")


def chat_usage(usage: Json | None) -> Json | None:
    """Return Anthropic's usage, which counts cached input apart, as OpenAI's, which does not."""
    if not usage:
        return None
    read = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    prompt = _count(usage, "input_tokens") + read + written
    answer = _count(usage, "output_tokens")
    details = usage.get("output_tokens_details") or {}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": _count(details, "thinking_tokens")},
    }


def messages_usage(usage: Json | None) -> Json:
    """Return OpenAI's usage as Anthropic's; zeros if there is none, since it must be there."""
    usage = usage or {}
    read = _count(usage.get("prompt_tokens_details") or {}, "cached_tokens")
    return {
        "input_tokens": max(0, _count(usage, "prompt_tokens") - read),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": 0,
        "output_tokens": _count(usage, "completion_tokens"),
    }


def _count(of: Json, name: str) -> int:
    found: Any = of.get(name)
    return found if isinstance(found, int) else 0
