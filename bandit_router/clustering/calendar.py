"""When to look again: things that fade are looked at when they may have faded, not before."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Calendar(Generic[Key]):
    """Keys with the time from which each must be looked at again.

    Examples
    --------
    >>> calendar = Calendar()
    >>> calendar.put("a", 5.0)
    >>> calendar.put("b", 3.0)
    >>> calendar.due(4.0), calendar.due(4.0), calendar.due(5.0)
    (['b'], [], ['a'])
    """

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[Any] = []

    def put(self, key: Key, time: float) -> None:
        """Have `key` looked at from `time` on, instead of when it was due before."""
        self._due[key] = time
        heapq.heappush(self._heap, (time, key))

    def drop(self, key: Key) -> None:
        """Forget `key`, if it is known."""
        self._due.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """Take out the keys that must be looked at now, in order of key."""
        found = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            time, key = heapq.heappop(heap)
            if self._due.get(key) == time:
                del self._due[key]
                found.append(key)
        return sorted(found)
