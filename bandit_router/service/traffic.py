"""HTTP requests, counted without locks: on the event loop alone, where they are read too.

A counter and a histogram of prometheus_client take a microsecond a request, which is a hundredth
of what a whole one takes here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

STEPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper ends of the histogram's buckets, seconds."""

_ENDS = [*map(str, STEPS), "+Inf"]


class Traffic:
    """How many requests there were, and how long they took; a collector of prometheus_client's.

    Parameters
    ----------
    prefix
        Of the metrics' names.

    Examples
    --------
    >>> traffic = Traffic("router")
    >>> traffic.count("GET", "/map", 200, 0.002)
    >>> requests, seconds = traffic.collect()
    >>> requests.samples[0].value, [sample.value for sample in seconds.samples[:3]]
    (1, [0.0, 1.0, 1.0])
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._within: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(_ENDS))
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests[method, route, status] += 1
        self._within[route][bisect_left(STEPS, seconds)] += 1
        self._seconds[route] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        name, labels = f"{self._prefix}_http_requests", ("method", "route", "status")
        requests = CounterMetricFamily(name, "HTTP requests.", labels=labels)
        for (method, route, status), count in self._requests.items():
            requests.add_metric((method, route, str(status)), count)
        yield requests
        name = f"{self._prefix}_http_request_seconds"
        seconds = HistogramMetricFamily(name, "How long requests took.", labels=("route",))
        for route, within in self._within.items():
            buckets = list(zip(_ENDS, map(float, accumulate(within)), strict=True))
            seconds.add_metric((route,), buckets, self._seconds[route])
        yield seconds
