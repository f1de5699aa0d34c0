"""The manifests are what Kubernetes takes, and what they start is what we take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bandit_router.commands.serving import serve
from bandit_router.config import load_config

FOLDER = Path(__file__).parent.parent / "docs/ops/kubernetes"
VERSIONS = ("1.30", "1.34", "1.37")
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml"})


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for file in FILES:
        for document in documents(file):
            pod = document["spec"].get("template", {}).get("spec") if "spec" in document else None
            for container in (pod or {}).get("containers", ()):
                yield document, container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kubernetes_takes_them(file: Path, version: str) -> None:
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_manifest_is_noticed() -> None:
    document = documents(FOLDER / "learner.yaml")[0]
    document["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_every_file_is_applied() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [file.name for file in FILES]


def test_the_command_takes_what_is_said_to_it() -> None:
    roles = []
    for _, container in containers():
        if container["image"] == "bandit-router":
            name, *rest = container["args"]
            assert name == "serve"
            context = serve.make_context("serve", rest)
            roles.append(context.params["role"])
    assert sorted(roles) == ["learner", "replica"]


def test_the_configuration_is_one(tmp_path: Path) -> None:
    [config] = documents(FOLDER / "config.yaml")
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
        assert [m.name for m in load_config(tmp_path / name).models] == ["small", "large"]


def test_services_find_their_pods_and_ports() -> None:
    """A selector that matches nothing is valid, and serves nobody."""
    everything = [document for file in FILES for document in documents(file)]
    pods = [d["spec"]["template"] for d in everything if "template" in d.get("spec", {})]
    services = [document for document in everything if document["kind"] == "Service"]
    assert len(services) == 3
    for service in services:
        wanted = service["spec"]["selector"].items()
        [pod] = [pod for pod in pods if wanted <= pod["metadata"]["labels"].items()]
        [container] = pod["spec"]["containers"]
        offered = {p["name"]: p["containerPort"] for p in container["ports"]}
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            assert target in offered or target in offered.values()
    names = {service["metadata"]["name"] for service in services}
    assert all(d["spec"]["serviceName"] in names for d in everything if d["kind"] == "StatefulSet")
