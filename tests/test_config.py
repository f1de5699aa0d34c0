"""Settings are refused with the key named."""

from __future__ import annotations

import tomllib

import pytest

from bandit_router.config import STARTER, load_config, parse_config
from bandit_router.exceptions import ConfigError


def test_the_least_that_works() -> None:
    config = parse_config({"models": [{"name": "small", "endpoints": [{"base_url": "http://x"}]}]})
    assert config.models[0].endpoints[0].base_url == "http://x"


def test_the_starter_file_is_valid() -> None:
    assert [m.name for m in parse_config(tomllib.loads(STARTER)).models] == ["small", "large"]


@pytest.mark.parametrize(
    ("raw", "field", "hint"),
    [
        ({"bandt": {}}, "bandt", "bandit"),
        ({"bandit": {"strenght": 3}}, "bandit.strenght", "strength"),
        ({"bandit": {"strength": -3}}, "bandit.strength", "> 0"),
        ({"bandit": {"strength": float("nan")}}, "bandit.strength", "finite"),
        ({"bandit": 3}, "bandit", "object"),
        ({"models": [{"name": "a", "input_usd_perm": 1}]}, "models.input_usd_perm", "input_usd_"),
        ({"models": [{}]}, "models.name", "required"),
        ({"models": [{"name": "a"}, {"name": "a"}]}, "models.name", "twice"),
        ({"models": [{"name": "a,b"}]}, "models.name", "comma"),
        ({"models": [{"name": "a", "quality_prior": 2.0}]}, "models.quality_prior", "between"),
        ({"clusterer": {"resolutions": [0.5, 1.0]}}, "clusterer.resolutions", "smaller"),
        ({"clusterer": {"name": "dbscan"}}, "clusterer.name", "invalid"),
        ({"models": [{"name": "a"}], "profiles": [{"name": "p", "models": ["b"]}]},
         "profiles.models", "no model"),
    ],
)  # fmt: skip
def test_bad_settings_name_their_key(raw: dict, field: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    assert caught.value.field == field
    assert hint in str(caught.value)


def test_the_environment_overrides_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "c.toml"
    file.write_text("[bandit]\nstrength = 5\n[store]\npath = 'x.db'\n")
    environ = {
        "BANDIT_ROUTER_BANDIT_STRENGTH": "7",
        "BANDIT_ROUTER_CLUSTERER_RESOLUTIONS": "[1.1, 0.8]",
        "BANDIT_ROUTER_STORE_KEEP_PROMPTS": "true",
        "PATH": "ignored",
    }
    settings = load_config(file, environ).settings
    assert settings.bandit.strength == 7
    assert settings.clusterer.resolutions == (1.1, 0.8)
    assert settings.store.keep_prompts
    assert settings.store.path == "x.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [("BANDIT_ROUTER_BANDIT_STRENGT", "1"), ("BANDIT_ROUTER_BANDIT_STRENGTH", "much")],
)
def test_bad_variables_are_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        load_config(None, {name: value})


@pytest.mark.parametrize("text", ["[bandit", "\xff"])
def test_a_file_that_is_no_toml(tmp_path, text: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "c.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"c\.toml"):
        load_config(file)
