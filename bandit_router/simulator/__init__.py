"""Replaying real outcomes: routing tables, worlds, and policies played over them."""

from .run import simulate
from .summary import text
from .tables import RoutingTable, read_table
from .worlds import SCENARIOS, make_world

__all__ = ["SCENARIOS", "RoutingTable", "make_world", "read_table", "simulate", "text"]
