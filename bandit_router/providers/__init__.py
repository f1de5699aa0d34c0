"""Talking to upstream LLM endpoints: failover, retry, streaming."""

from .fleet import Fleet, Served
from .upstream import Attempt, UpstreamError

__all__ = ["Attempt", "Fleet", "Served", "UpstreamError"]
