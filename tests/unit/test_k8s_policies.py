"""What stands in for a network plugin reads NetworkPolicies as Kubernetes means them."""

from typing import Any

import pytest

from tests.k8s.cluster.policies import HOSTS, Pod, pods_of, restored
from tests.k8s.manifests import of_kind

NAMES = "10.210.0.1"
STAGE = Pod("cradle", {"app": "stage"}, "10.211.1.2", {"metrics": 9101})
BROKER = Pod("cradle", {"app": "broker"}, "10.211.2.3", {"amqp": 5672})
STRANGER = Pod("elsewhere", {"app": "stage"}, "10.211.2.4", {})
PODS = [STAGE, BROKER, STRANGER]
TO_BROKER = {
    "to": [{"podSelector": {"matchLabels": {"app": "broker"}}}],
    "ports": [{"port": 5672}],
}


def policy(selected: dict[str, str], **rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "cradle"},
        "spec": {
            "podSelector": {"matchLabels": selected} if selected else {},
            "policyTypes": [direction.title() for direction in rules],
            **rules,
        },
    }


def lines(*policies: dict[str, Any]) -> list[str]:
    return restored(list(policies), PODS, NAMES).splitlines()


def test_whom_no_policy_selects_may_do_everything() -> None:
    found = lines(policy({"app": "stage"}, egress=[TO_BROKER]))
    assert not any(address in line for line in found for address in (STRANGER.address, "-j IN"))
    assert [line for line in found if line.startswith("-A EGRESS-0")] == [
        "-A EGRESS-0 -d 10.211.2.3 -p tcp --dport 5672 -j RETURN",
        "-A EGRESS-0 -j DROP",
    ]


def test_whoever_is_selected_may_do_what_one_of_the_policies_says_and_nothing_else() -> None:
    nothing = policy({}, ingress=[], egress=[])
    found = lines(nothing, policy({"app": "stage"}, egress=[TO_BROKER]))
    assert "-A EGRESS-0 -d 10.211.2.3 -p tcp --dport 5672 -j RETURN" in found
    assert [line for line in found if line.startswith("-A INGRESS-1")] == [
        f"-A INGRESS-1 -s {HOSTS} -j RETURN",
        "-A INGRESS-1 -j DROP",
    ]


def test_an_answer_is_no_question_and_both_ends_are_asked() -> None:
    found = lines(policy({}, ingress=[], egress=[]))
    heads = [line for line in found if line.startswith("-A POLICIES")]
    assert heads[0] == "-A POLICIES -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    assert [head.split()[2] for head in heads[1:]] == ["-s", "-s", "-d", "-d"]


def test_a_named_port_is_that_of_who_is_reached() -> None:
    from_elsewhere = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}
    }
    rule = {"from": [from_elsewhere], "ports": [{"port": "metrics"}]}
    found = lines(policy({"app": "stage"}, ingress=[rule]))
    assert "-A INGRESS-0 -s 10.211.2.4 -p tcp --dport 9101 -j RETURN" in found


def test_names_are_asked_where_the_name_server_is() -> None:
    (names,) = (
        each
        for each in of_kind("overlays/single-node", "NetworkPolicy")
        if each["metadata"]["name"] == "names"
    )
    found = lines(names)
    assert f"-A EGRESS-0 -d {NAMES} -p udp --dport 53 -j RETURN" in found


@pytest.mark.parametrize(
    "rule",
    [
        {"to": [], "ports": [{"port": 1}]},
        {"to": TO_BROKER["to"], "ports": []},
        {
            "to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "ports": [{"port": 1}],
        },
        {"to": [{"podSelector": {"matchExpressions": []}}], "ports": [{"port": 1}]},
    ],
)
def test_what_it_does_not_know_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not known here"):
        lines(policy({"app": "stage"}, egress=[rule]))


def test_pods_without_an_address_and_those_that_are_done_have_no_rules() -> None:
    def pod(phase: str, address: str) -> dict[str, Any]:
        ports = [{"name": "http", "containerPort": 80}, {"containerPort": 81}]
        return {
            "metadata": {"namespace": "n"},
            "spec": {"containers": [{"ports": ports}, {}]},
            "status": {"phase": phase, "podIP": address},
        }

    found = pods_of(
        [pod("Running", "10.211.1.9"), pod("Succeeded", "10.211.1.9"), pod("Pending", "")]
    )
    assert found == [Pod("n", {}, "10.211.1.9", {"http": 80})]
