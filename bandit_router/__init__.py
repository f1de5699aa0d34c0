"""An LLM router that learns while it serves.

>>> from bandit_router import Router
>>> router = Router(["small", "large"], embedder="none")
>>> decision = router.route(vector=[0.6, 0.8])
>>> router.feedback(decision.decision_id, reward=1.0)
'recorded'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .router import Router
    from .types import Decision, Feedback, Model

__all__ = ["Decision", "Feedback", "Model", "Router"]


def __getattr__(name: str) -> Any:
    # Loaded when they are first asked for: the command line's help waits for no numpy.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(".router" if name == "Router" else ".types", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
