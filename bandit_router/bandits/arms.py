"""What is known of every arm over the whole map: one array, as machine code reads it.

To hand an array over takes 45 ns; a decision hands over few.
"""

from __future__ import annotations

from .credit import ROWS

LISTED, LEVEL, LAMBDA, NOISE, PRIOR, ACTIVE, KIN = range(ROWS, ROWS + 7)
"""Rows below the sums of an arm's evidence: its list price (nan: none); its level, adjusted for
the prompts that it was tried on; the observations that its prior weighs as much as; the variance
of one reward around its mean; mean quality before any evidence; whether it shares the traffic; the
number of the arm that it is like, its own if none."""

ARM_ROWS = ROWS + 7
