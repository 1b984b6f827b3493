"""The Pod Security Standard `restricted`, rule by rule, as a pure check of a pod's specification.

Written after the table at kubernetes.io/docs/concepts/security/pod-security-standards: all of the
profile `baseline`, and what `restricted` demands beyond.
"""

from collections.abc import Callable, Iterator
from typing import Any

Spec = dict[str, Any]

VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    }
)
SELINUX_TYPES = frozenset(
    {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
PROFILES = frozenset({"RuntimeDefault", "Localhost"})


def breaches(spec: Spec) -> list[str]:
    """The rules that a pod breaks, by their names."""
    return [name for name, is_kept in RULES.items() if not is_kept(spec)]


def _containers(spec: Spec) -> list[Spec]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [each for kind in kinds for each in spec.get(kind, [])]


def _contexts(spec: Spec) -> Iterator[Spec]:
    """Of the containers."""
    return (each.get("securityContext") or {} for each in _containers(spec))


def _all_contexts(spec: Spec) -> Iterator[Spec]:
    yield spec.get("securityContext") or {}
    yield from _contexts(spec)


def _each_or_pod(spec: Spec, key: str) -> Iterator[Any]:
    """A container's own value, else the pod's."""
    of_pod = (spec.get("securityContext") or {}).get(key)
    return (each.get(key, of_pod) for each in _contexts(spec))


def _capabilities(spec: Spec, key: str) -> Iterator[set[str]]:
    return (set((each.get("capabilities") or {}).get(key, ())) for each in _contexts(spec))


def _types_of(spec: Spec, key: str) -> Iterator[Any]:
    return ((each.get(key) or {}).get("type") for each in _all_contexts(spec))


def _handlers(spec: Spec) -> Iterator[Spec]:
    for container in _containers(spec):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            yield container.get(probe) or {}
        yield from (container.get("lifecycle") or {}).values()


def _ports(spec: Spec) -> Iterator[Spec]:
    return (port for each in _containers(spec) for port in each.get("ports", []))


def _no_selinux_user(spec: Spec) -> bool:
    options = [each.get("seLinuxOptions") or {} for each in _all_contexts(spec)]
    return not any(each.get("user") or each.get("role") for each in options)


RULES: dict[str, Callable[[Spec], bool]] = {
    "host process": lambda spec: (
        not any(
            (each.get("windowsOptions") or {}).get("hostProcess") for each in _all_contexts(spec)
        )
    ),
    "host namespaces": lambda spec: (
        not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    ),
    "privileged": lambda spec: not any(each.get("privileged") for each in _contexts(spec)),
    "host ports": lambda spec: not any(port.get("hostPort") for port in _ports(spec)),
    "host in probes": lambda spec: (
        not any(
            (each.get(kind) or {}).get("host")
            for each in _handlers(spec)
            for kind in ("httpGet", "tcpSocket")
        )
    ),
    "AppArmor": lambda spec: all(
        each in {None, *PROFILES} for each in _types_of(spec, "appArmorProfile")
    ),
    "SELinux type": lambda spec: all(
        each in SELINUX_TYPES for each in _types_of(spec, "seLinuxOptions")
    ),
    "SELinux user": _no_selinux_user,
    "proc mount": lambda spec: all(
        each.get("procMount", "Default") == "Default" for each in _contexts(spec)
    ),
    "sysctls": lambda spec: all(
        each["name"] in SYSCTLS for each in (spec.get("securityContext") or {}).get("sysctls", ())
    ),
    "volume types": lambda spec: all(
        VOLUMES & volume.keys() or volume.keys() == {"name"} for volume in spec.get("volumes", ())
    ),
    "privilege escalation": lambda spec: all(
        each.get("allowPrivilegeEscalation") is False for each in _contexts(spec)
    ),
    "non-root": lambda spec: all(each is True for each in _each_or_pod(spec, "runAsNonRoot")),
    "root user": lambda spec: all(each.get("runAsUser") != 0 for each in _all_contexts(spec)),
    "seccomp": lambda spec: all(
        (each or {}).get("type") in PROFILES for each in _each_or_pod(spec, "seccompProfile")
    ),
    "seccomp unconfined": lambda spec: all(
        each in {None, *PROFILES} for each in _types_of(spec, "seccompProfile")
    ),
    "capabilities dropped": lambda spec: all("ALL" in each for each in _capabilities(spec, "drop")),
    "capabilities added": lambda spec: all(
        each <= {"NET_BIND_SERVICE"} for each in _capabilities(spec, "add")
    ),
}
"""A rule and whether a pod keeps it."""
