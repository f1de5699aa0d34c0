"""The map page is self-contained and strict about what it may load."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/map", "text/html"),
        ("/map/map.js", "text/javascript"),
        ("/map/map.css", "text/css"),
        ("/map/icon.svg", "image/svg+xml"),
    ],
)
async def test_the_page_and_its_files(client, path, kind):
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.content_type == kind
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    body = await answer.text()
    assert not re.findall(r"https?://(?!www\.w3\.org)", body)  # nothing from another host


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "__init__.py"])
async def test_no_other_file_is_served(client, name):
    assert (await client.get(f"/map/{name}")).status == 404


async def test_what_the_page_asks_for_is_there(client):
    await client.post("/route", json={"prompt": "draw me a map"})
    found = await (await client.get("/clusters")).json()
    assert {"clusters", "cost_weight", "reference_cost_usd"} <= set(found)
    assert all(len(cluster["position"]) == 2 for cluster in found["clusters"])


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on this machine")
async def test_a_real_browser_shows_the_clusters(client):
    import asyncio

    for prompt in ("sort a list", "boil an egg", "prove a theorem"):
        await client.post("/route", json={"prompt": prompt})
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--virtual-time-budget=4000", str(client.make_url("/map"))]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
    )
    assert len(re.findall(r"<circle [^>]*data-id", done.stdout)) >= 1
    assert "vendor/large v2: wins where" in done.stdout
    assert "loading" not in re.findall(r'id="totals"[^>]*>([^<]*)', done.stdout)[0]
