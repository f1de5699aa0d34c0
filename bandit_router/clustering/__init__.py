"""Where a prompt falls: River's clusterers, vectorised, with identities that last."""

from .clustream import CluStream
from .dbstream import DBSTREAM
from .denstream import DenStream
from .kmeans import KMeans, STREAMKMeans
from .lineage import WHOLE
from .map import ClusterMap, Place
from .surroundings import NOWHERE, Surroundings, finest

__all__ = [
    "DBSTREAM",
    "NOWHERE",
    "WHOLE",
    "CluStream",
    "ClusterMap",
    "DenStream",
    "KMeans",
    "Place",
    "STREAMKMeans",
    "Surroundings",
    "finest",
]
