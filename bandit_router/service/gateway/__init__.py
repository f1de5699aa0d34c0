"""The gateway: change one base URL, and every request is answered by the model that has earned it.

``asked`` reads requests, ``target`` finds who is to answer, ``serving`` gets the answer and passes
it on, ``record`` logs what was observed, ``answered`` tells whoever wants to judge the answer.
"""

from .answered import ANSWERED, Answered, Listener, prepare
from .handlers import OPERATIONS

__all__ = ["ANSWERED", "OPERATIONS", "Answered", "Listener", "prepare"]
