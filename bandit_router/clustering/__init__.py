"""Where a prompt falls: River's clusterers, vectorised, with identities that last."""

from .dbstream import DBSTREAM

__all__ = ["DBSTREAM"]
