"""The demo fleet's answers in OpenAI's form: what the recorded outcome was."""

from __future__ import annotations

import time
from typing import Any

from ...types import Decision
from ..wire import Demo


def completion(decision: Decision, demo: Demo | None) -> dict[str, Any]:
    """Return a chat completion in the words of the demo: no model is called."""
    message = {"role": "assistant", "content": _content(decision, demo)}
    return {
        "id": f"demo-{decision.decision_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": decision.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def _content(decision: Decision, demo: Demo | None) -> str:
    if demo is None:
        return (
            f"This is the demo fleet: {decision.model} was chosen, but no bundled prompt is like "
            "yours, so there is no recorded outcome to learn from."
        )
    return (
        f"This is the demo fleet: {decision.model} was chosen. On the nearest bundled prompt "
        f"({demo.nearest[:200]!r}, similarity {demo.similarity:.2f}) its answer was graded "
        f"{demo.quality:.2f} and cost {demo.cost_usd:.6f} US dollars."
    )
