"""Feedback without clicks: what can be known of an answer when nobody says it.

`verifiers` check answers, `implicit` watches what users do next, `operator` asks a function or a
webhook, `judge` an LLM. Each looks in the background (`lines`) and speaks as a source of its own
by the way of all feedback; `handlers` shows what they said and how it goes with what people say.
"""

from .attached import SIGNALS, attached
from .handlers import OPERATIONS

__all__ = ["OPERATIONS", "SIGNALS", "attached"]
