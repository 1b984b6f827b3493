"""What the cluster of `make test-cluster` runs is the single-node overlay, and little else."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.k8s.cluster.installed import OVERLAY
from tests.k8s.cluster.node import Node, bridge
from tests.k8s.manifests import Manifest, build, built, workers

OLD = {  # what Kubernetes 1.20 does not know
    "spec.minReadySeconds",
    "spec.persistentVolumeClaimRetentionPolicy",
    "spec.template.spec.containers.0.lifecycle.preStop.exec",
    "spec.template.spec.containers.0.lifecycle.preStop.sleep",
    "spec.template.spec.containers.0.livenessProbe.terminationGracePeriodSeconds",
    "spec.template.spec.topologySpreadConstraints.0.matchLabelKeys",
}
NAMES = {  # the image, and the configuration with the tests' camera
    "spec.template.spec.containers.0.image",
    "spec.template.spec.volumes.0.configMap.name",
}


@pytest.fixture(scope="module")
def run() -> list[Manifest]:
    return build(OVERLAY)


def test_stages_are_changed_in_what_is_named_and_in_nothing_else(run: list[Manifest]) -> None:
    there = {(each["kind"], each["metadata"]["name"]): each for each in run}
    for pod in workers("overlays/single-node"):
        changed = set(differences(pod.workload, there[pod.workload["kind"], pod.name]))
        assert changed <= OLD | NAMES, pod.name
        assert changed >= NAMES, pod.name


def test_only_the_store_and_what_prepares_it_are_other_programs(run: list[Manifest]) -> None:
    there = {(each["kind"], each["metadata"]["name"]): each for each in run}
    other = set()
    for each in built("overlays/single-node"):
        key = (
            each["kind"],
            each["metadata"]["name"].rpartition("-config-")[0] or (each["metadata"]["name"]),
        )
        changed = set(differences(each, there.get((each["kind"], each["metadata"]["name"]))))
        if changed - OLD - NAMES:
            other.add(key)
    assert {kind for kind, _ in other} == {"ConfigMap", "PodDisruptionBudget", "StatefulSet", "Job"}
    assert {key for key in other if key[0] != "PodDisruptionBudget"} == {
        ("ConfigMap", "cradle"),
        ("StatefulSet", "store"),
        ("Job", "store-setup"),
    }


def test_budgets_let_as_many_go_as_those_of_the_base(run: list[Manifest]) -> None:
    def limits(manifests: Any) -> dict[str, tuple[Any, Any]]:
        return {
            each["metadata"]["name"]: (each["spec"]["maxUnavailable"], each["spec"]["selector"])
            for each in manifests
            if each["kind"] == "PodDisruptionBudget"
        }

    assert limits(run) == limits(built("overlays/single-node"))


def test_pods_of_a_node_get_addresses_of_its_own_network(tmp_path: Any) -> None:
    one, two = (Node(number, tmp_path) for number in (1, 2))
    assert bridge(one)["ipam"]["ranges"] == [[{"subnet": "10.211.1.0/24"}]]
    assert {one.pods, one.address}.isdisjoint({two.pods, two.address})


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two manifests differ: keys of objects and places in lists, joined by dots."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in one or key not in other:
                yield f"{path}{key}"
            else:
                yield from differences(one[key], other[key], f"{path}{key}.")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}{place}.")
    elif one != other:
        yield path.rstrip(".")
