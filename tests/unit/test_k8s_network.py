"""Who may reach whom, be drained, scaled and watched: the rest of what deploy/k8s says."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from shared.tracingsettings import TracingSettings
from tests.k8s.manifests import (
    BUILDS,
    ROOT,
    Manifest,
    Pod,
    data_of,
    of_kind,
    pods,
    values,
    with_components,
    workers,
)


@pytest.fixture(params=BUILDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- disruption ---------------------------------------------------------------------------------


def test_every_stage_has_a_budget_that_blocks_no_drain_of_a_single_replica(name: str) -> None:
    budgets = of_kind(name, "PodDisruptionBudget")
    for pod in workers(name):
        (budget,) = (each for each in budgets if selects(each["spec"]["selector"], pod.labels))
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, selector
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


# -- network ------------------------------------------------------------------------------------

OPERATED = [{"app.kubernetes.io/name": "broker"}]
"""Labels of pods that an operator makes of a custom resource."""


def labels_of(name: str) -> list[dict[str, str]]:
    operated = OPERATED if of_kind(name, "RabbitmqCluster") else []
    return [pod.labels for pod in pods(name)] + operated


def policies(name: str) -> list[Manifest]:
    return of_kind(name, "NetworkPolicy")


def policies_on(name: str, labels: dict[str, str], direction: str) -> list[Manifest]:
    """The rules of all policies for a pod in one direction."""
    rules = []
    for policy in policies(name):
        spec = policy["spec"]
        if selects(spec["podSelector"], labels) and direction.title() in spec["policyTypes"]:
            rules += spec.get(direction, [])
    return rules


def test_nothing_is_allowed_that_is_not_said(name: str) -> None:
    assert any(
        each["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        for each in policies(name)
    )
    for policy in policies(name):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                assert rule[peers], "an empty list of peers is everybody"
                assert rule["ports"], "an empty list of ports is every port"


def test_network_policies_select_what_exists(name: str) -> None:
    known = labels_of(name)
    if name == "base":  # the broker comes with an overlay
        known = known + OPERATED
    for policy in policies(name):
        selectors = [policy["spec"]["podSelector"]]
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                selectors += [
                    peer["podSelector"]
                    for peer in rule[peers]
                    if "podSelector" in peer and "namespaceSelector" not in peer
                ]
        for selector in selectors:
            assert any(selects(selector, labels) for labels in known), policy["metadata"]["name"]


def callers(name: str) -> list[Pod]:
    """The stages, and where people run commands."""
    return [pod for pod in pods(name) if pod.is_worker or pod.is_command]


@pytest.mark.parametrize("overlay", BUILDS[1:])
def test_who_has_a_login_reaches_names_broker_and_store_and_only_ingest_and_commands_the_cameras(
    overlay: str,
) -> None:
    store = 9000 if overlay.endswith("single-node") else 443
    for pod in callers(overlay):
        ports = {
            port["port"]
            for rule in policies_on(overlay, pod.labels, "egress")
            for port in rule["ports"]
        }
        cameras = {554, 8554, 80, 443} if pod.name == "ingest" or pod.is_command else set()
        assert ports == {53, 5672, store} | cameras, pod.name


@pytest.mark.parametrize("overlay", BUILDS[1:])
def test_what_one_may_reach_lets_one_in(overlay: str) -> None:
    """Both ends are closed, so each way must be open twice."""
    for pod in callers(overlay):
        for rule in policies_on(overlay, pod.labels, "egress"):
            for peer in rule["to"]:
                if "podSelector" not in peer or "namespaceSelector" in peer:
                    continue
                wanted = peer["podSelector"]
                (target,) = (each for each in labels_of(overlay) if selects(wanted, each))
                entered = {
                    port["port"]
                    for entry in policies_on(overlay, target, "ingress")
                    for each in entry["from"]
                    if selects(each.get("podSelector", {}), pod.labels)
                    and "namespaceSelector" not in each
                    for port in entry["ports"]
                }
                assert {port["port"] for port in rule["ports"]} <= entered


@pytest.mark.parametrize("overlay", BUILDS[1:])
def test_workers_are_entered_for_their_figures_only_and_the_page_from_the_ingress(
    overlay: str,
) -> None:
    for pod in workers(overlay):
        rules = policies_on(overlay, pod.labels, "ingress")
        ports = {port["port"] for rule in rules for port in rule["ports"]}
        assert ports == ({"metrics", "http"} if pod.name == "viewer" else {"metrics"})
        assert all("namespaceSelector" in peer for rule in rules for peer in rule["from"])


@pytest.mark.parametrize("overlay", BUILDS[1:])
def test_nobody_enters_where_commands_are_run(overlay: str) -> None:
    (pod,) = (each for each in pods(overlay) if each.is_command)
    assert policies_on(overlay, pod.labels, "ingress") == []


def test_cameras_are_reached_from_commands_at_the_addresses_that_ingest_reaches(name: str) -> None:
    by_name = {each["metadata"]["name"]: each["spec"].get("egress") for each in policies(name)}
    assert by_name["command-to-cameras"] == by_name["ingest-to-cameras"]
    if name.endswith("production"):
        assert by_name["command-to-store"] == by_name["workers-to-store"]


def test_the_brokers_nodes_reach_each_other_and_names_and_nobody_else() -> None:
    (broker,) = OPERATED
    rules = policies_on("overlays/production", broker, "egress")
    ports = {port["port"] for rule in rules for port in rule["ports"]}
    assert ports == {53, 4369, 25672, 35672}
    for rule in rules:
        if {"port": 4369} in rule["ports"]:
            assert rule["to"] == [{"podSelector": {"matchLabels": broker}}]


def test_the_brokers_page_is_open_to_its_operator_alone() -> None:
    """It asks each node (`getClientInfoForPod` of rabbitmq/cluster-operator)."""
    (broker,) = OPERATED
    rules = policies_on("overlays/production", broker, "ingress")
    (rule,) = (each for each in rules if {"port": 15672} in each["ports"])
    assert rule["ports"] == [{"port": 15672}]
    (peer,) = rule["from"]
    space = {"kubernetes.io/metadata.name": "rabbitmq-system"}
    assert peer == {
        "namespaceSelector": {"matchLabels": space},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "rabbitmq-operator"}},
    }


def test_the_page_is_entered_from_the_controller_that_is_named_and_not_in_the_clear() -> None:
    """No faults are mended in ingress-nginx since March 2026 (kubernetes.io/blog/2025/11/11)."""
    (ingress,) = of_kind("overlays/production", "Ingress")
    (rule,) = (
        each["spec"]["ingress"][0]
        for each in policies("overlays/production")
        if each["metadata"]["name"] == "page-from-ingress"
    )
    (peer,) = rule["from"]
    controller = ingress["spec"]["ingressClassName"]
    assert "nginx" not in controller
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": controller}
    assert ingress["spec"]["tls"]
    entry = f"{controller}.ingress.kubernetes.io/router.entrypoints"
    assert ingress["metadata"]["annotations"] == {entry: "websecure"}


def test_names_are_asked_of_the_nodes_own_cache_where_there_is_one(name: str) -> None:
    """It is of the node's network, where no selector finds it: kubernetes/kubernetes#70555."""
    (policy,) = (each for each in policies(name) if each["metadata"]["name"] == "names")
    (rule,) = policy["spec"]["egress"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]
    assert rule["ports"] == [{"port": 53, "protocol": each} for each in ("UDP", "TCP")]


def test_with_tracing_every_stage_reaches_the_collector_that_it_is_told_of(tmp_path: Path) -> None:
    made = with_components(tmp_path, "overlays/production", "tracing")
    (policy,) = (each for each in made if each["metadata"]["name"] == "workers-to-collector")
    kubernetes_validate.validate(policy, "1.37", strict=True)
    (rule,) = policy["spec"]["egress"]
    (peer,) = rule["to"]
    for pod in workers("overlays/production"):
        assert selects(policy["spec"]["podSelector"], pod.labels)
        (workload,) = (
            each
            for each in made
            if each["kind"] == pod.workload["kind"] and each["metadata"]["name"] == pod.name
        )
        env = {each["name"]: each for each in Pod(pod.name, workload).container["env"]}
        assert env.keys() > {each["name"] for each in pod.container["env"]}
        address = urlsplit(
            TracingSettings(endpoint=env["CRADLE_TRACING__ENDPOINT"]["value"]).endpoint
        )
        assert rule["ports"] == [{"port": address.port}]
        space = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        assert str(address.hostname).endswith(f".{space}.svc")
        secret = env["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": "cradle-tracing", "key": "headers", "optional": True}


def test_only_with_the_provider_chosen_may_the_analyzer_reach_the_outside(tmp_path: Path) -> None:
    made = with_components(tmp_path, "base", "gemini")
    (policy,) = (each for each in made if each["metadata"]["name"] == "analyzer-to-provider")
    kubernetes_validate.validate(policy, "1.37", strict=True)
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "analyzer"}
    (rule,) = policy["spec"]["egress"]
    assert rule["ports"] == [{"port": 443}]
    (deployment,) = (
        each
        for each in made
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "analyzer"
    )
    variables = [each["name"] for each in Pod("analyzer", deployment).container["env"]]
    assert "GEMINI_API_KEY" in variables
    assert "CRADLE_BROKER__URL" in variables


# -- what production says beside ------------------------------------------------------------------


def test_what_scales_a_stage_asks_for_metrics_that_the_code_serves() -> None:
    served = set()
    for folder in ("shared", "ingest", "encoder", "archiver", "analyzer", "viewer"):
        for file in (ROOT / folder).glob("*.py"):
            served |= set(re.findall(r'"(cradle_[a-z_]+)"', file.read_text()))
    for scaled in of_kind("overlays/production", "ScaledObject"):
        asked = {
            metric
            for query in values(scaled, "query")
            for metric in re.findall(r"\bcradle_[a-z_]+", query)
        }
        assert asked
        assert asked <= served


def test_what_is_scaled_exists_and_its_number_is_left_to_the_scaler() -> None:
    scaled = of_kind("overlays/production", "ScaledObject")
    by_name = {pod.name: pod.workload for pod in workers("overlays/production")}
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scaled} == {
        "encoder",
        "archiver",
        "analyzer",
    }
    for each in scaled:
        assert "replicas" not in by_name[each["spec"]["scaleTargetRef"]["name"]]["spec"]


def test_workers_are_added_before_those_that_are_there_hold_all_they_may() -> None:
    content = yaml.safe_load(data_of("overlays/production", "cradle-config")["cradle.yaml"])
    most = content["seats"]["max_cameras"]
    for scaled in of_kind("overlays/production", "ScaledObject"):
        if scaled["metadata"]["name"] != "analyzer":
            (trigger,) = scaled["spec"]["triggers"]
            assert float(trigger["metadata"]["threshold"]) < most


def test_one_node_holds_one_of_each_and_production_more_of_what_records_and_shows() -> None:
    def counts(name: str) -> dict[str, Any]:
        return {pod.name: pod.workload["spec"].get("replicas") for pod in workers(name)}

    assert set(counts("overlays/single-node").values()) == {1}
    assert counts("overlays/production")["ingest"] >= 2
    assert counts("overlays/production")["viewer"] >= 2


def test_the_ingests_that_are_left_while_one_is_away_hold_all_cameras() -> None:
    content = yaml.safe_load(data_of("overlays/production", "cradle-config")["cradle.yaml"])
    (ingest,) = (pod for pod in workers("overlays/production") if pod.name == "ingest")
    left = ingest.workload["spec"]["replicas"] - 1
    assert left * content["seats"]["max_cameras"] >= len(content["cameras"])
