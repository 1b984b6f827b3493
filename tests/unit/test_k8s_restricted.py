"""The check of restricted pod security: a good pod keeps each rule, and each can be broken."""

from copy import deepcopy
from typing import Any

import pytest

from tests.k8s.restricted import RULES, Spec, breaches

GOOD: Spec = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [],
    "containers": [
        {
            "name": "one",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}

POD, CONTAINER = ("securityContext",), ("containers", 0, "securityContext")
BROKEN: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("host process", (*POD, "windowsOptions"), {"hostProcess": True}),
    ("host namespaces", ("hostNetwork",), True),
    ("host namespaces", ("hostPID",), True),
    ("host namespaces", ("hostIPC",), True),
    ("privileged", (*CONTAINER, "privileged"), True),
    ("host ports", ("containers", 0, "ports"), [{"containerPort": 80, "hostPort": 80}]),
    ("host in probes", ("containers", 0, "livenessProbe"), {"httpGet": {"host": "10.0.0.1"}}),
    ("host in probes", ("containers", 0, "lifecycle"), {"preStop": {"tcpSocket": {"host": "x"}}}),
    ("AppArmor", (*CONTAINER, "appArmorProfile"), {"type": "Unconfined"}),
    ("SELinux type", (*POD, "seLinuxOptions"), {"type": "spc_t"}),
    ("SELinux user", (*CONTAINER, "seLinuxOptions"), {"user": "system_u"}),
    ("proc mount", (*CONTAINER, "procMount"), "Unmasked"),
    ("sysctls", (*POD, "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    ("volume types", ("volumes",), [{"name": "host", "hostPath": {"path": "/"}}]),
    ("volume types", ("volumes",), [{"name": "share", "nfs": {"server": "x", "path": "/"}}]),
    ("privilege escalation", (*CONTAINER, "allowPrivilegeEscalation"), True),
    ("privilege escalation", CONTAINER, {"capabilities": {"drop": ["ALL"]}}),
    ("non-root", (*POD, "runAsNonRoot"), False),
    ("non-root", (*CONTAINER, "runAsNonRoot"), False),
    ("root user", (*CONTAINER, "runAsUser"), 0),
    ("root user", (*POD, "runAsUser"), 0),
    ("seccomp", POD, {"runAsNonRoot": True}),
    ("seccomp unconfined", (*CONTAINER, "seccompProfile"), {"type": "Unconfined"}),
    ("capabilities dropped", CONTAINER, {"allowPrivilegeEscalation": False}),
    ("capabilities added", (*CONTAINER, "capabilities"), {"drop": ["ALL"], "add": ["SYS_TIME"]}),
    ("privileged", ("initContainers",), [{"securityContext": {"privileged": True}}]),
]


def broken(path: tuple[str | int, ...], value: object) -> Spec:
    spec = deepcopy(GOOD)
    place: Any = spec
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return spec


def test_a_good_pod_breaks_no_rule() -> None:
    assert breaches(GOOD) == []


@pytest.mark.parametrize(("rule", "path", "value"), BROKEN)
def test_a_pod_that_breaks_a_rule_is_found(
    rule: str, path: tuple[str | int, ...], value: object
) -> None:
    assert rule in breaches(broken(path, value))


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == RULES.keys()
