"""What every body keeps to: numbers that stay finite, texts that stay short."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# JSON has no infinity, but 1e308 squared is one: the bounds keep every later sum finite.
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Limit = Annotated[float, Meta(gt=0, lt=1e9)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Number = Annotated[float, Meta(ge=-1e18, le=1e18)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
BATCH_LIMIT = 1000
"""Feedbacks of one batch."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent; an unknown field is refused."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is answered."""
