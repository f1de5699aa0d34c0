"""An LLM router that learns while it serves.

>>> from bandit_router import Router
>>> router = Router(["small", "large"], embedder="none")
>>> decision = router.route(vector=[0.6, 0.8])
>>> router.feedback(decision.decision_id, reward=1.0)
'recorded'
"""

from .router import Router
from .types import Decision, Feedback, Model

__all__ = ["Decision", "Feedback", "Model", "Router"]
