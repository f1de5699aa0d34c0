"""The HTTP service: routing, feedback, arms and the map, over one engine."""

from .app import create_app
from .serving import learn, run

__all__ = ["create_app", "learn", "run"]
