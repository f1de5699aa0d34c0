"""A stream on its way from an endpoint to a client: read as it passes, translated if need be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol

import msgspec

from .answers import Answer, Reader
from .errors import UpstreamError
from .sse import DONE, Event
from .translate import Json, StreamTranslator
from .wires import Call, Form, Wire, over_chat

GARBLED = (KeyError, TypeError, AttributeError, IndexError, ValueError)
"""What reading an answer of another form than it should have ends in."""


class Source(Protocol):
    """Where the events come from."""

    def events(self) -> AsyncIterator[list[tuple[Event, Json | None]]]:
        """Return events as they come, those that come together together."""


class Stream:
    """Pieces of a stream in the client's words.

    Parameters
    ----------
    call, wire
        What was asked, and how.
    source
        Where the events come from.
    place
        The endpoint, for messages.
    """

    def __init__(self, call: Call, wire: Wire, source: Source, place: str) -> None:
        self._call = call
        self._place = place
        self._events = source.events()
        self._reader: Reader = wire.reader()
        self._translator: StreamTranslator | None = wire.stream and wire.stream()
        self._begun: list[bytes] = []
        self._done = False
        self._bare = False  # the source gives events without bytes: they are framed here
        self._call_of: AsyncExitStack | None = None
        self._hide_usage = call.form == "chat" and not call.wants_usage

    @property
    def answer(self) -> Answer:
        """What was answered, as far as it has come."""
        return self._reader.answer

    async def begin(self) -> None:
        """Wait for the first event: until then another endpoint may be asked instead.

        Raises
        ------
        UpstreamError
            If there is none, or it says that something went wrong.
        """
        async for events in self._events:
            self._begun.append(self._taken(events))
            if self._reader.error is not None:
                raise self._said()
            if any(data is not None for _, data in events):
                return
        raise UpstreamError(f"{self._place}: the stream ended before it began", "broke_off")

    def owns(self, call: AsyncExitStack) -> None:
        """End the call when this stream is closed."""
        self._call_of = call

    async def close(self) -> None:
        """End the call."""
        if self._call_of is not None:
            await self._call_of.aclose()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return bytes for the client, as they come.

        Raises
        ------
        UpstreamError
            After the last piece, if the answer has not come to its end.
        """
        for piece in self._begun:
            yield piece
        try:
            async for events in self._events:
                if piece := self._taken(events):
                    yield piece
            if self._reader.error is not None:
                raise self._said()
            if not (self._reader.whole or self._done):
                message = f"{self._place}: the stream ended before the answer did"
                raise UpstreamError(message, "broke_off")
            last = [] if self._translator is None else self._translator.end()
            if self._translator is not None or self._bare:
                yield self._framed(last) + _END.get(self._call.form, b"")
        except GARBLED as error:
            what = f"{type(error).__name__}: {error}"
            message = f"{self._place}: an event of another form ({what})"
            raise UpstreamError(message, "garbage") from None

    def _said(self) -> UpstreamError:
        message = f"{self._place}: an error in the stream: {self._reader.error}"
        return UpstreamError(message, "error_in_answer")

    def _taken(self, events: list[tuple[Event, Json | None]]) -> bytes:
        return b"".join([self._one(event, data) for event, data in events])

    def _one(self, event: Event, data: Json | None) -> bytes:
        if data is not None:
            self._reader.feed(data)
        self._done = self._done or event.data == DONE
        if self._translator is None:
            if data is not None and not event.raw:
                self._bare = True
                return self._framed([data])
            hidden = self._hide_usage and data is not None and _is_usage(data)
            return b"" if hidden else event.raw
        if data is None:
            return event.raw if event.raw.startswith(b":") else b""  # a sign of life
        return self._framed(self._translator.feed(data))

    def _framed(self, events: list[Json]) -> bytes:
        form = self._call.form
        shown = [e for e in events if not (self._hide_usage and _is_usage(e))]
        return b"".join([framed(event, form) for event in shown])


_END: dict[Form, bytes] = {"chat": b"data: [DONE]\n\n"}


def framed(event: Json, form: Form) -> bytes:
    """Return an event as bytes, in the way of an API."""
    data = b"data: " + msgspec.json.encode(event) + b"\n\n"
    kind = event.get("type")
    return data if form == "chat" or kind is None else b"event: " + kind.encode() + b"\n" + data


def spoken(call: Call, answer: Json) -> bytes:
    """Return a chat completion of our own making in the client's words, as a stream if it asks."""
    over = over_chat(call)
    if not call.stream:
        return msgspec.json.encode(answer if over is None else over.answer(answer))
    (choice,) = answer["choices"]
    base = {**answer, "object": "chat.completion.chunk"}
    base.pop("usage", None)
    chunks = [
        {**base, "choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
    ]
    if over is not None:
        translator = over.stream()
        chunks = [event for chunk in chunks for event in translator.feed(chunk)]
        chunks += translator.end()
    end = _END.get(call.form, b"")
    return b"".join(framed(event, call.form) for event in chunks) + end


def broken(message: str, form: Form) -> bytes:
    """Return the event that tells a client that its stream has broken off."""
    error = {"type": "upstream_error", "message": message, "code": "upstream_error", "param": None}
    if form == "messages":
        said = {"type": "api_error", "message": message}
        return framed({"type": "error", "error": said}, form)
    if form == "responses":
        return framed({**error, "type": "error", "error": error}, form)
    return framed({"error": error}, form)


def _is_usage(event: Json) -> bool:
    return event.get("choices") == [] and bool(event.get("usage"))
