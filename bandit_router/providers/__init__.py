"""Talking to upstream LLM endpoints: choice among them, retry, failover, translation, streams."""

from .answers import Answer
from .errors import UpstreamError
from .fleet import Failure, Fleet, Served, Unserved, Whole
from .http import body_of
from .lite import check_installed
from .prices import with_list_price, with_list_prices
from .streams import Stream, broken, spoken
from .translate import Json
from .usage import Usage, count, estimate
from .wires import Call, Form

__all__ = [
    "Answer",
    "Call",
    "Failure",
    "Fleet",
    "Form",
    "Json",
    "Served",
    "Stream",
    "Unserved",
    "UpstreamError",
    "Usage",
    "Whole",
    "body_of",
    "broken",
    "check_installed",
    "count",
    "estimate",
    "spoken",
    "with_list_price",
    "with_list_prices",
]
