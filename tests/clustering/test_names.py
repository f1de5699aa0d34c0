"""Regions are named by their own traffic, and by nothing that one person alone wrote."""

from __future__ import annotations

from typing import Any

from bandit_router import Router
from bandit_router.clustering.names import RegionNames
from bandit_router.config import ClustererSettings, Settings, StoreSettings
from bandit_router.types import LineageEvent


def merged(id_: int, heir: int) -> LineageEvent:
    return LineageEvent(
        seq=1, time=0.0, what="merged", cluster=id_, other=heir, level=0, cause="the bound"
    )


def test_what_one_prompt_alone_says_is_not_shown() -> None:
    names = RegionNames()
    for i in range(6):
        names.read(1, f"Cook a soup, sort {i}", keep=False)
        names.read(1, "Cook a soup for Anastasia, anastasia@example.com, 0171234", keep=False)
    label = names.labels()[1]
    assert {"cook", "soup"} <= set(label.split(", "))
    assert "anastasia" not in label


def test_words_of_a_template_name_nothing_and_no_word_stands_twice() -> None:
    names = RegionNames()
    for i in range(12):
        for region, topic in ((1, "planets planet"), (2, "verbs grammar"), (3, "enzymes cell")):
            names.read(region, f"Respond politely, concerning {topic}, {i}", keep=False)
    labels = {id_: label.split(", ") for id_, label in names.labels().items()}
    assert labels[1][0] == "planet"
    assert "planets" not in labels[1]
    assert labels[2][:2] == ["grammar", "verbs"]
    assert labels[3][:2] == ["cell", "enzymes"]


def test_names_follow_a_merge_and_stay_bounded() -> None:
    names = RegionNames()
    for i in range(4):
        names.read(1, f"Prove a theorem number {'abcd'[i] * 4}", keep=True)
    names.follow([merged(1, 2)])
    assert "theorem" in names.labels()[2]
    assert len(names.examples(2)) == 3
    for i in range(3000):
        word = "".join(chr(97 + (i * k) % 26) for k in (1, 3, 5, 7, 11))
        names.read(2, f"{word} {word[::-1]}", keep=False)
    assert len(names._regions[2].counts) <= 600


def routed(embedder: Any, **settings: Any) -> Router:
    settings = {"clusterer": ClustererSettings(names=True), **settings}
    router = Router(["a", "b"], embedder=embedder, settings=Settings(**settings))
    for thing in ("alpha", "beta", "gamma", "delta", "omega"):
        router.route(f"sort python list {thing}")
        router.route(f"translate french sentence {thing} paris")
    return router


def test_clusters_show_labels_and_prompts_only_as_the_settings_allow(embedder: Any) -> None:
    router = routed(embedder)
    labels = {view.label for view in router.clusters() if view.level == 0}
    assert any(label and "python" in label for label in labels)
    assert not any(view.examples for view in router.clusters())
    silent = routed(embedder, clusterer=ClustererSettings(names=False))
    assert all(view.label is None for view in silent.clusters())
    open_ = routed(embedder, store=StoreSettings(keep_prompts=True))
    assert any(view.examples for view in open_.clusters())


def test_names_are_no_part_of_the_state(embedder: Any) -> None:
    one, other = routed(embedder), routed(embedder)
    other.names = RegionNames()
    assert one.snapshot() == other.snapshot()


def test_turning_names_off_keeps_the_map(embedder: Any) -> None:
    router = routed(embedder)
    before = [view.id for view in router.clusters()]
    off = Settings(clusterer=ClustererSettings(names=False), embedder=router.settings.embedder)
    router.apply(router.configuration(off, ["a", "b"]))
    assert [view.id for view in router.clusters()] == before
