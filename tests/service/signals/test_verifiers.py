"""What is found wrong with answers, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.config import SignalsSettings
from bandit_router.providers import Answer
from bandit_router.service.signals.schema import valid
from bandit_router.service.signals.verifiers import Verifiers

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}},
    "required": ["city"],
    "additionalProperties": False,
}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}}
OBJECT = {"response_format": {"type": "json_object"}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]}


def call(arguments: Any, name: Any = "weather") -> Answer:
    called = {"id": "1", "name": name, "arguments": arguments}
    return Answer(tool_calls=[called], finish_reason="tool_calls")


def found(asked: dict[str, Any], answer: Answer, /, **settings: Any) -> dict[str, float]:
    return dict(Verifiers(SignalsSettings(**settings)).found(asked, answer))


@pytest.mark.parametrize(
    ("asked", "answer", "says"),
    [
        (SCHEMA, Answer(text='{"city": "Bern"}'), {"schema": 1.0}),
        (SCHEMA, Answer(text='{"city": "bern"}'), {"schema": 0.0}),
        (SCHEMA, Answer(text='{"town": "Bern"}'), {"schema": 0.0}),
        (SCHEMA, Answer(text='Sure! {"city": "Bern"}'), {"schema": 0.0}),
        (SCHEMA, Answer(text='{"city": "Be', finish_reason="length"), {}),
        (SCHEMA | TOOLS, call('{"city": "Bern"}'), {"tools": 1.0}),
        (OBJECT, Answer(text="[1]"), {"schema": 0.0}),
        (TOOLS, call('{"city": "Bern"'), {"tools": 0.0}),
        (TOOLS, call('{"city": 3}'), {"tools": 0.0}),
        (TOOLS, call("[]"), {"tools": 0.0}),
        (TOOLS, call('{"city": "Bern"}', "wether"), {"tools": 0.0}),
        (TOOLS, call('{"city": "Bern"}', ["weather"]), {}),  # names that are no text
        ({"tools": [{"function": {"name": ["weather"]}}]}, call("{}"), {}),
        ({"tools": 3}, call("{}"), {}),
        (TOOLS, call({"city": "Bern"}), {}),
        (TOOLS, Answer(text="It rains."), {}),
        (TOOLS | {"tool_choice": "required"}, Answer(text="It rains."), {"tools": 0.0}),
        ({}, Answer(text="  \n"), {"answer": 0.0}),
        ({}, Answer(text="", finish_reason="length"), {}),
        ({}, Answer(refusal="No."), {"answer": 0.0}),
        (SCHEMA, Answer(refusal="No."), {"answer": 0.0}),
        ({}, Answer(text="I\u2019m sorry, but I can't help with that."), {"answer": 0.0}),
        ({}, Answer(text="抱歉\uff0c我无法回答。"), {"answer": 0.0}),
        ({}, Answer(text="I'm sorry, but I can't " + "go on " * 100), {}),
        ({}, Answer(text="Bern."), {}),
        ({"response_format": None, "tools": None}, Answer(text="Bern."), {}),
    ],
)
def test_what_is_found(asked: dict[str, Any], answer: Answer, says: dict[str, float]) -> None:
    assert found(asked, answer) == says


def test_each_check_can_be_left_out() -> None:
    assert found(SCHEMA, Answer(text="no"), schema=False) == {}
    assert found(TOOLS, call("no"), tools=False) == {}
    assert found({}, Answer(), answer=False) == {}


def twice(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)
    }
    return {"$defs": {**defs, f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        (twice(3), 1, True),
        (twice(60), 1, None),  # 2**60 ways
        ({"enum": ["x" * 200_000]}, 1, None),
        ({"pattern": "(a{1000}){1000}"}, "a", None),
        ({"properties": {str(i): {"items": {"$ref": "#"}} for i in range(2_000)}}, [[[]]], None),
        ({"$ref": "http://127.0.0.1:9/schema"}, 1, None),
        ({"$ref": "#"}, 1, None),
        ({"$dynamicRef": "#x"}, 1, None),
        ({"$ref": "#/$defs/none"}, 1, None),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 60 + "b", False),
        ({"type": "string", "pattern": "(?=a)"}, "a", None),
        ({"items": {"$ref": "#"}}, [[[]]], True),
        ({"items": {"$ref": "#"}, "type": "array"}, [[1]], False),
        ("none", 1, None),
        (False, 1, False),
    ],
)
def test_schemas_of_strangers(schema: Any, value: Any, says: bool | None) -> None:
    # What means nothing may be judged either way by the library, but never badly.
    assert valid(schema, value) in ((says, True) if says is None else (says,))


def test_a_value_of_endless_depth_is_not_looked_at() -> None:
    value: Any = []
    for _ in range(5_000):
        value = [value]
    assert valid({"items": {"$ref": "#"}}, value) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)


@given(JSON, JSON, st.text(max_size=30))
def test_no_request_makes_them_fail(schema: Any, tools: Any, text: str) -> None:
    asked = {
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": tools}}],
    }
    for answer in (Answer(text=text), call(text, "f")):
        assert set(found(asked, answer).values()) <= {0.0, 1.0}
