"""What every table of settings is, and the numbers that may stand in one."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # beyond, rounding hides what it weighs
LEAST_REFERENCE = 1e-12
Reference = Annotated[float, msgspec.Meta(ge=LEAST_REFERENCE, le=1e12)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: frozen, by keywords, with no key that it does not know."""
