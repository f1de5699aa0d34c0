"""Whether a value is valid by a JSON schema that a stranger sent.

Schemas come from clients, and a check holds everything else up: one that would take more than
some hundredths of a second, or has to be fetched, tells nothing. Patterns run in linear time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

_MOST_STEPS = 1_000_000
_MOST_BYTES = 100_000
_MOST_PLACES = 20_000
_DEEPEST = 64
_LARGEST_PATTERN = 200_000
_HERE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_BELOW = (
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
)
_ELSEWHERE = ("$dynamicRef", "$recursiveRef")


def valid(schema: Any, value: Any) -> bool | None:
    """Tell whether `value` is valid; None if the schema is none, or cannot be checked here.

    Examples
    --------
    >>> schema = {"type": "object", "required": ["city"]}
    >>> valid(schema, {"city": "Bern"}), valid(schema, {}), valid({"type": "unheard"}, {})
    (True, False, None)
    """
    if not isinstance(schema, dict | bool):
        return None
    try:
        if len(msgspec.json.encode(schema)) > _MOST_BYTES:
            return None
        size, depth = _measure(value)
        if size * _Ways(schema).count(schema, depth) > _MOST_STEPS:
            return None
        import jsonschema_rs  # not before somebody asks for a schema

        patterns = jsonschema_rs.RegexOptions(size_limit=_LARGEST_PATTERN)
        validator = jsonschema_rs.validator_for(schema, pattern_options=patterns, offline=True)
        return bool(validator.is_valid(value))
    except (ValueError, TypeError, RecursionError, OverflowError, _Unmeasured):
        return None


def _measure(value: Any) -> tuple[int, int]:
    """Return how many values there are in a value, and how deep they lie."""
    size, depth, level = 0, 0, [value]
    while level:
        size += len(level)
        depth += 1
        if depth > _DEEPEST:
            raise _Unmeasured
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        level = inner
    return size, depth


class _Unmeasured(Exception):
    """Nobody can say beforehand how long a check would take."""


class _Ways:
    """In how many ways a schema may come to look at one value: what a check can take at worst.

    A schema of a kilobyte whose definitions name each other twice has a billion of them.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def count(self, node: Any, depth: int) -> int:
        """Return the ways from a node of the schema down `depth` levels of a value."""
        if not isinstance(node, dict):
            return 1
        key = (id(node), depth)
        if key not in self._known:
            if len(self._known) >= _MOST_PLACES:
                raise _Unmeasured
            self._known[key] = 0  # a schema that names itself on the spot gets nowhere
            if any(name in node for name in _ELSEWHERE):
                raise _Unmeasured
            ways = 1 + sum(self.count(one, depth) for one in self._here(node))
            if depth:
                ways += sum(self.count(one, depth - 1) for one in _inner(node, _BELOW))
            if ways > _MOST_STEPS:
                raise _Unmeasured
            self._known[key] = ways
        return self._known[key]

    def _here(self, node: dict[str, Any]) -> Iterator[Any]:
        yield from _inner(node, _HERE)
        if "$ref" in node:
            yield self._named(node["$ref"])

    def _named(self, reference: Any) -> Any:
        if not isinstance(reference, str) or (reference + "/")[:2] != "#/":
            raise _Unmeasured
        found = self._root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise _Unmeasured
            found = found[name]
        return found


def _inner(node: dict[str, Any], names: tuple[str, ...]) -> Iterator[Any]:
    """Yield the schemas under keywords, whether they hold one, several, or several by name."""
    for name in names:
        held = node.get(name)
        if isinstance(held, list):
            yield from held
        elif isinstance(held, dict):
            by_name = name in ("properties", "patternProperties", "dependentSchemas")
            yield from held.values() if by_name else (held,)
