"""Where a prompt falls: River's clusterers, vectorised, with identities that last."""

from .dbstream import DBSTREAM
from .map import WHOLE, ClusterMap, Place

__all__ = ["DBSTREAM", "WHOLE", "ClusterMap", "Place"]
