"""The pages are self-contained and strict about what they may load."""

from __future__ import annotations

import asyncio
import re
from importlib import resources

import pytest

from bandit_router.service.keys import WATCH

STATIC = resources.files("bandit_router.service.page") / "static"
OURS = sorted(
    file.name
    for file in STATIC.iterdir()
    if file.name.endswith((".html", ".css", ".js", ".svg")) and file.name != "d3.min.js"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/map", "text/html"),
        ("/map/overview", "text/html"),
        ("/map/map.js", "text/javascript"),
        ("/map/d3.min.js", "text/javascript"),
        ("/map/style.css", "text/css"),
        ("/map/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ],
)
async def test_the_pages_and_their_files(client, path, kind):
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.content_type == kind
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2fassets.py", "__init__.py", "d3-LICENSE"])
async def test_no_other_file_is_served(client, name):
    assert (await client.get(f"/map/{name}")).status == 404


@pytest.mark.parametrize("name", OURS)
def test_nothing_comes_from_another_host_or_is_written_as_markup(name):
    text = (STATIC / name).read_text(encoding="utf-8")
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)
    # What users wrote can only become text; what the policy forbids is not there.
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.findall(r"<[^>]+ (?:on\w+|style)=|<script>|<style>", text)


def test_the_library_has_its_licence_beside_it():
    assert "Mike Bostock" in (STATIC / "d3-LICENSE").read_text(encoding="utf-8")
    assert (STATIC / "d3.min.js").read_bytes().startswith(b"// https://d3js.org v7.9.0")


async def test_the_legend_names_models_before_there_is_traffic(client):
    places = await (await client.get("/map/data/places")).json()
    assert places["models"] == ["small", "vendor/large v2"]
    assert places["positions"] == {}


async def test_a_new_cluster_has_a_place_at_once(client):
    for text in ("sort a list", "boil an egg"):
        await client.post("/route", json={"prompt": text})
        clusters = (await (await client.get("/clusters")).json())["clusters"]
        finest = {str(c["id"]) for c in clusters if c["level"] == max(c["level"] for c in clusters)}
        client.app[WATCH]._drawn_at -= 1.0  # as if a second had passed
        assert finest <= set((await (await client.get("/map/data/places")).json())["positions"])


async def test_two_who_come_at_once_both_see_the_map(client):
    await client.post("/route", json={"prompt": "draw me a map"})
    answers = await asyncio.gather(*(client.get("/map/data/places") for _ in range(2)))
    assert all([(await answer.json())["positions"] for answer in answers])


async def test_what_the_page_asks_for_is_there(client):
    await client.post("/route", json={"prompt": "draw me a map"})
    found = await (await client.get("/clusters")).json()
    assert {"clusters", "cost_weight", "reference_cost_usd"} <= set(found)
    assert all(len(cluster["position"]) == 2 for cluster in found["clusters"])
