"""The map as one file that needs no service: page, script and data in it.

For a study, a README, a colleague. No prompt is in it, also where prompts are kept: a file goes
further than one meant it to.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from ...clustering.layout import Layout
from ...router import Router
from ...store import Log
from ...views import ClusterView
from ..chronicle import Chronicle
from ..overview import growth, story
from ..watch import centres_of, place_answer, saved_layout
from .assets import FILES

_STORIES = 300  # clusters whose past is carried, the heaviest first
_CURVE = 60
_SETTLE = 20  # updates of a drawing that nobody has looked at yet
_MODULES = ("api", "charts", "describe", "dom", "labels", "map", "numbers", "replay", "scene")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
)


def page(router: Router, store: Log) -> str:
    """Return the page of a router and its log."""
    data = {"time": router.time, "answers": _answers(router, store)}
    return _html(msgspec.json.encode(data).decode())


def _answers(router: Router, store: Log) -> dict[str, Any]:
    """Return what the page asks for, by path."""
    chronicle = Chronicle()
    chronicle.catch_up(store)
    layout = _layout(router, store)
    terms = router.utility()
    clusters = [msgspec.structs.replace(view, examples=()) for view in router.clusters()]
    found: dict[str, Any] = {
        "/clusters": {
            "clusters": clusters,
            "cost_weight": terms.cost_weight,
            "reference_cost_usd": terms.reference_cost_usd,
        },
        "/map/data/places": place_answer(layout, chronicle, list(router.models)),
        "/map/data/growth": {**growth(chronicle), "positions": layout.points()},
    }
    for view in _heaviest(clusters):
        found[f"/map/data/clusters/{view.id}"] = _story(chronicle, store, view.id)
    return found


def _layout(router: Router, store: Log) -> Layout:
    layout = saved_layout(store)
    ids, centres = centres_of(router)
    for _ in range(1 if layout.positions else _SETTLE):
        layout.update(ids, centres)
    return layout


def _heaviest(clusters: list[ClusterView]) -> list[ClusterView]:
    finest = max((view.level for view in clusters), default=0)
    found = [view for view in clusters if view.level == finest]
    return sorted(found, key=lambda view: -view.weight)[:_STORIES]


def _story(chronicle: Chronicle, store: Log, cluster: int) -> dict[str, Any]:
    found = story(chronicle, cluster)
    lineage = msgspec.to_builtins(store.lineage(cluster)[-30:])
    return {
        "times": found["times"],
        "curves": {arm: _thinned(rows) for arm, rows in found["curves"].items()},
        "newest": [{**row, "prompt": None} for row in found["newest"]],
        "lineage": lineage,
    }


def _thinned(rows: list[list[float]]) -> list[list[float]]:
    step = max(1, len(rows) // _CURVE)
    return rows[::step]


def _html(data: str) -> str:
    """Return the page with everything that it is made of inside."""
    text = FILES["map.html"].decode()
    icon = _url("icon.svg", "image/svg+xml")
    modules = {f"page/{name}": _module(name) for name in _MODULES}
    imports = msgspec.json.encode({"imports": modules}).decode()
    swaps = {
        '<meta charset="utf-8">': '<meta charset="utf-8">\n<meta http-equiv="Content-Security-'
        f'Policy" content="{_POLICY}">',
        '<link rel="stylesheet" href="/map/style.css">': f"<style>{FILES['style.css'].decode()}"
        "</style>",
        '<script src="/map/d3.min.js" defer></script>': f"<script>{FILES['d3.min.js'].decode()}"
        "</script>",
        '<script src="/map/map.js" type="module"></script>': (
            f'<script type="importmap">{imports}</script>\n'
            f'<script type="application/json" id="saved">{_inside(data)}</script>\n'
            '<script type="module">import "page/map";</script>'
        ),
        "/map/icon.svg": icon,
    }
    for old, new in swaps.items():
        if old not in text:
            raise AssertionError(f"map.html has lost {old}")
        text = text.replace(old, new)
    return text


def _module(name: str) -> str:
    """A module as a URL; what it imports has names without a place, for the import map."""
    text = re.sub(r'from "\./(\w+)\.js"', r'from "page/\1"', FILES[f"{name}.js"].decode())
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def _url(name: str, kind: str) -> str:
    return f"data:{kind};base64," + base64.b64encode(FILES[name]).decode()


def _inside(data: str) -> str:
    """JSON that cannot end the element that holds it."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
