"""What a translation is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Json = dict[str, Any]


class StreamTranslator(Protocol):
    """Events of one API's stream to those of another, as they come."""

    def feed(self, event: Json) -> list[Json]:
        """Take an event; return what the other API says by then."""

    def end(self) -> list[Json]:
        """Return what the other API says at the end; never asked of a stream that broke off."""


class Translation(Protocol):
    """One request, and whatever answers it."""

    def request(self) -> Json:
        """Return the request in the words of the endpoint."""

    def answer(self, answer: Json) -> Json:
        """Return an endpoint's answer in the words of the client."""

    def stream(self) -> StreamTranslator:
        """Return what does the same with a stream."""


class Chained:
    """Two translators of a stream, one after the other."""

    def __init__(self, first: StreamTranslator, second: StreamTranslator) -> None:
        self._first, self._second = first, second

    def feed(self, event: Json) -> list[Json]:
        """Take an event through both."""
        return self._both(self._first.feed(event))

    def end(self) -> list[Json]:
        """End both."""
        return [*self._both(self._first.end()), *self._second.end()]

    def _both(self, events: Sequence[Json]) -> list[Json]:
        return [out for event in events for out in self._second.feed(event)]


def joined(content: Any, *, by: str = "\n") -> str:
    """Return the text of a content that is text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return by.join(part["text"] for part in content if isinstance(part.get("text"), str))


def chosen(raw: Json, *names: str, **renamed: str) -> Json:
    """Return the fields of `raw` that are given, some under another name (new=old)."""
    pairs = [(name, name) for name in names] + list(renamed.items())
    return {new: raw[old] for new, old in pairs if raw.get(old) is not None}
