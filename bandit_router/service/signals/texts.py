"""Conversations as plain text."""

from __future__ import annotations

from ...providers import Json


def text_of(message: Json) -> str:
    """Return the text of a chat message.

    Examples
    --------
    >>> text_of({"role": "user", "content": [{"type": "text", "text": "hello"}]})
    'hello'
    """
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def conversation(messages: list[Json]) -> str:
    """Return a conversation as text."""
    return "\n\n".join(f"{message.get('role')}: {text_of(message)}" for message in messages)


def only_text(asked: Json) -> bool:
    """Tell whether a request holds no pictures or files: nobody who reads its text misses them."""
    contents = [message.get("content") for message in asked["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return all(isinstance(part, dict) and part.get("type") == "text" for part in parts)


def clipped(text: str, limit: int, *, end: bool = False) -> str:
    """Return the first `limit` characters of a text, or its last, marked as cut."""
    if len(text) <= limit:
        return text
    return "[...] " + text[-limit:] if end else text[:limit] + " [...]"
