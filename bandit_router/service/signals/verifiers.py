"""What can be checked of an answer without asking anybody."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec

from ...config import SignalsSettings
from ...providers import Answer, Json
from ...types import Feedback
from ..gateway import Answered
from .schema import valid

FAMILY = "verifier"
_MOST_CHARS = 200_000
_LONGEST_REFUSAL = 400
_CUT = ("length", "content_filter")


class Verifiers:
    """Checks answers: valid by the schema asked for, sound tool calls, neither empty nor a refusal.

    A valid answer and a sound call count as good. That an answer is no refusal says nothing of
    how good it is, and is not told: many such words would drown those that do.
    """

    def __init__(self, settings: SignalsSettings) -> None:
        self._settings = settings
        self._refusals = tuple(_plain(text) for text in settings.refusals)

    async def __call__(self, answered: Answered) -> list[Feedback]:
        """Return what was found."""
        if answered.decision is None:
            return []
        return [
            Feedback(
                decision_id=answered.decision.decision_id,
                reward=reward,
                source=f"{FAMILY}:{name}",
            )
            for name, reward in self.found(answered.call.chat(), answered.answer)
        ]

    def found(self, asked: Json, answer: Answer) -> Iterator[tuple[str, float]]:
        """Yield the name and the reward of every check that tells something."""
        ours = self._settings
        poor = not (answer.text.strip() or answer.tool_calls)
        refused = self.refused(answer)
        if ours.answer and (refused or (poor and answer.finish_reason != "length")):
            yield "answer", 0.0
        if refused or answer.finish_reason in _CUT or len(answer.text) > _MOST_CHARS:
            return  # what the client's own limit cut off is no fault of the model's
        if ours.tools and (sound := sound_calls(asked, answer)) is not None:
            yield "tools", float(sound)
        if (
            ours.schema
            and not answer.tool_calls
            and (fits := fits_format(asked, answer)) is not None
        ):
            yield "schema", float(fits)

    def refused(self, answer: Answer) -> bool:
        """Tell whether an answer is a refusal."""
        if answer.refusal or answer.finish_reason == "content_filter":
            return True
        text = answer.text.strip()
        if answer.tool_calls or not text or len(text) > _LONGEST_REFUSAL:
            return False
        return _plain(text[:_LONGEST_REFUSAL]).startswith(self._refusals)


def fits_format(asked: Json, answer: Answer) -> bool | None:
    """Tell whether an answer has the form that was asked for; None if none was.

    Examples
    --------
    >>> asked = {"response_format": {"type": "json_object"}}
    >>> fits_format(asked, Answer(text='{"a": 1}')), fits_format(asked, Answer(text="a: 1"))
    (True, False)
    """
    wanted = asked.get("response_format")
    if not isinstance(wanted, dict):
        return None
    kind = wanted.get("type")
    if kind not in ("json_object", "json_schema"):
        return None
    try:
        value = msgspec.json.decode(answer.text)
    except (ValueError, RecursionError):
        return False
    if kind == "json_object":
        return isinstance(value, dict)
    described = wanted.get("json_schema")
    return valid(described.get("schema"), value) if isinstance(described, dict) else None


def sound_calls(asked: Json, answer: Answer) -> bool | None:
    """Tell whether every tool call names a tool and fits its parameters; None if nothing tells.

    An answer without a call, where the request demanded one, is not sound.

    Examples
    --------
    >>> tool = {"name": "add", "parameters": {"type": "object", "required": ["a"]}}
    >>> asked = {"tools": [{"type": "function", "function": tool}]}
    >>> sound_calls(asked, Answer(tool_calls=[{"name": "add", "arguments": '{"a": 1}'}]))
    True
    >>> sound_calls(asked, Answer(tool_calls=[{"name": "add", "arguments": '{"a": '}]))
    False
    >>> sound_calls(asked, Answer(text="no tool was needed"))
    """
    listed = asked.get("tools")
    functions = [
        tool["function"]
        for tool in (listed if isinstance(listed, list) else ())
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    tools = {
        function["name"]: function.get("parameters", True)
        for function in functions
        if isinstance(function.get("name"), str)
    }
    if not tools:
        return None
    if not answer.tool_calls:
        choice = asked.get("tool_choice")
        forced = choice == "required" or (isinstance(choice, dict) and "function" in choice)
        return False if forced else None
    found = [_sound(call, tools) for call in answer.tool_calls]
    if False in found:
        return False
    return None if None in found else True


def _sound(call: dict[str, Any], tools: dict[str, Any]) -> bool | None:
    if not (isinstance(call["name"], str) and isinstance(call["arguments"], str)):
        return None  # the provider's doing
    if call["name"] not in tools:
        return False
    try:
        arguments = msgspec.json.decode(call["arguments"] or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(arguments, dict) and valid(tools[call["name"]], arguments)


def _plain(text: str) -> str:
    """Return text as it is compared: composed, folded, with plain quotes and commas."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return " ".join(text.split())
