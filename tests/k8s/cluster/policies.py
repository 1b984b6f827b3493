"""NetworkPolicies as rules of iptables: what a network plugin does, which Debian has none of.

A pure reading of what deploy/k8s uses of them: pods by labels, namespaces by labels, blocks of
addresses, and ports by number or by name. Anything else is refused, and not passed over. Rules go
into FORWARD of every node: what a host itself sends to its pods (probes) is not asked, and what
comes from the hosts' own network is let in, for from there the tests look.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

HOSTS: Final = "10.210.0.0/24"
NAMES: Final = {"k8s-app": "kube-dns"}
"""Labels of the name server's pods; here it is no pod, and has the address that is given."""
CHAIN: Final = "POLICIES"

Thing = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """One that has an address."""

    namespace: str
    labels: dict[str, str]
    address: str
    ports: dict[str, int]
    """Of its containers, by name."""


def pods_of(found: Iterable[Thing]) -> list[Pod]:
    """Those of a list of Kubernetes' own that have an address and are not done."""
    return [
        Pod(
            each["metadata"]["namespace"],
            each["metadata"].get("labels", {}),
            each["status"]["podIP"],
            {
                port["name"]: port["containerPort"]
                for container in each["spec"]["containers"]
                for port in container.get("ports", [])
                if "name" in port
            },
        )
        for each in found
        if each["status"].get("podIP") and each["status"]["phase"] in {"Pending", "Running"}
    ]


def restored(policies: list[Thing], pods: list[Pod], names: str) -> str:
    """For `iptables-restore --noflush`: table `filter`, chains of ours only. `names` is the name
    server's address.
    """
    heads: list[str] = []
    bodies: list[str] = []
    chains = [CHAIN]
    for number, pod in enumerate(pods):
        for direction, flag in (("Egress", "-s"), ("Ingress", "-d")):
            mine = [each["spec"] for each in policies if _is_for(each, pod, direction)]
            if not mine:
                continue
            chain = f"{direction.upper()}-{number}"
            chains.append(chain)
            heads.append(f"-A {CHAIN} {flag} {pod.address} -j {chain}")
            if direction == "Ingress":
                bodies.append(f"-A {chain} -s {HOSTS} -j RETURN")
            for spec in mine:
                bodies.extend(
                    f"-A {chain} {match} -j RETURN"
                    for rule in spec.get(direction.lower(), [])
                    for match in _matches(rule, direction, pod, pods, names)
                )
            bodies.append(f"-A {chain} -j DROP")
    known = f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    # Where it goes out is asked first: who returns from there is asked where it comes in.
    heads.sort(key=lambda line: " -d " in line)
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in chains), known, *heads, *bodies]
    return "\n".join([*lines, "COMMIT", ""])


def _is_for(policy: Thing, pod: Pod, direction: str) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and direction in spec["policyTypes"]
        and _selects(spec["podSelector"], pod.labels)
    )


def _selects(selector: Thing, labels: dict[str, str]) -> bool:
    if not selector.keys() <= {"matchLabels"}:
        raise ValueError(f"not known here: {selector}")
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _matches(rule: Thing, direction: str, pod: Pod, pods: list[Pod], names: str) -> Iterator[str]:
    side, flag = ("to", "-d") if direction == "Egress" else ("from", "-s")
    if not rule.get(side) or not rule.get("ports"):
        raise ValueError(f"everybody or every port is not known here: {rule}")
    for peer in rule[side]:
        for address, other in _addresses(peer, pod, pods, names):
            for port in rule["ports"]:
                protocol = port.get("protocol", "TCP").lower()
                number = port["port"]
                if isinstance(number, str):  # a name means the port of the one who is reached
                    reached = other if direction == "Egress" else pod
                    if reached is None or number not in reached.ports:
                        continue
                    number = reached.ports[number]
                yield f"{flag} {address} -p {protocol} --dport {number}"


def _addresses(
    peer: Thing, pod: Pod, pods: list[Pod], names: str
) -> Iterator[tuple[str, Pod | None]]:
    if not peer.keys() <= {"ipBlock", "podSelector", "namespaceSelector"}:
        raise ValueError(f"not known here: {peer}")
    if "ipBlock" in peer:
        if peer["ipBlock"].keys() != {"cidr"}:
            raise ValueError(f"not known here: {peer}")
        yield peer["ipBlock"]["cidr"], None
        return
    if peer.get("podSelector", {}).get("matchLabels") == NAMES:
        yield names, None
    for other in pods:
        if "namespaceSelector" in peer:
            # Since 1.21 every namespace has its name as a label; no other is used.
            is_near = _selects(
                peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}
            )
        else:
            is_near = other.namespace == pod.namespace
        if is_near and _selects(peer.get("podSelector", {}), other.labels):
            yield other.address, other
