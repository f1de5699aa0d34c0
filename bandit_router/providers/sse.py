"""Server-sent events, cut out of bytes as they come."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import UpstreamError

_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")
MAX_EVENT_BYTES = 16_000_000
DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its bytes, its end included, and its data (None: a comment, a bare name)."""

    raw: bytes
    data: bytes | None


class Splitter:
    """Cuts a stream into events, whatever way its bytes arrive."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take bytes; return the events that are whole by now.

        Raises
        ------
        UpstreamError
            If one grows beyond all bounds.
        """
        data = self._left + chunk
        out: list[Event] = []
        start = 0
        # An end may have been cut in two: three bytes back is far enough to see it.
        for found in _END.finditer(data, max(0, len(self._left) - 3)):
            out.append(_event(data[start : found.end()]))
            start = found.end()
        self._left = data[start:]
        if len(self._left) > MAX_EVENT_BYTES:
            raise UpstreamError(f"an event of more than {MAX_EVENT_BYTES:,} bytes", "garbage")
        return out

    def end(self) -> list[Event]:
        """Return what is left when the stream ends without a blank line."""
        left, self._left = self._left, b""
        return [_event(left + b"\n\n")] if left.strip() else []


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data:") and raw.find(b"\n") >= len(raw) - 2:  # one line: almost always
        return Event(raw, raw[5:].strip())
    lines = [line[5:].strip() for line in _LINE.split(raw) if line.startswith(b"data:")]
    return Event(raw, b"\n".join(lines) if lines else None)
