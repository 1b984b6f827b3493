"""A node of the cluster: a host, made of namespaces (node.sh), and what it is told.

Pods of a node lie on a bridge of it, and the nodes route to each other's.
"""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster.policies import CHAIN
from tests.support import eventually

SWITCH: Final = "10.210.0.1"
"""The address of the host that the nodes are wired to, which they and their pods reach."""
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")

Thing = dict[str, Any]


class Node:
    """A host: the namespaces of one `node.sh`, and what is in its folder."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"node-{number}"
        self.number = number
        self.address = f"10.210.0.{10 + number}"
        self.pods = f"10.211.{number}.0/24"
        self.folder = folder / self.name
        self._process: subprocess.Popen[bytes] | None = None
        self._is_filtered = False
        self._is_cut = False

    def prepare(self, control_group: str, resolver: Path) -> None:
        """Make its folder, with what is the node's own in it, and its control groups."""
        (self.folder / "cni").mkdir(parents=True)
        (self.folder / "cni" / "10-bridge.conf").write_text(json.dumps(bridge(self)))
        settings = _kubelet(control_group, resolver)
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(settings))
        _make_control_groups(control_group)

    def start(self, words: list[str]) -> None:
        """Begin, and put the wire in."""
        log = (self.folder / "node.log").open("wb")
        namespaces = ("--net", "--mount", "--uts", "--ipc", "--pid", "--mount-proc")
        self._process = subprocess.Popen(
            ["unshare", *namespaces, "--fork", "--kill-child", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        first = eventually(self._first, 10, "the node's first process")
        wire = f"wire{self.number}"
        run("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", str(first))
        run("ip", "link", "set", wire, "master", "switch", "up")
        run("ip", "route", "replace", self.pods, "via", self.address)

    def filter(self, table: str) -> None:
        """Set the rules of its firewall, which ask ours first. Of a node that is lost: nothing."""
        try:
            self._filter(table)
        except (OSError, subprocess.CalledProcessError):
            if self.is_on:
                raise

    def _filter(self, table: str) -> None:
        if not self.is_on:
            return
        first = str(self._first())
        inside = ("nsenter", "--target", first, "--net")
        run(*inside, "iptables-restore", "--noflush", given=table)
        if not self._is_filtered:
            run(*inside, "iptables", "--insert", "FORWARD", "1", "--jump", CHAIN)
            self._is_filtered = True

    @property
    def is_on(self) -> bool:
        return self._process is not None and not self._is_cut and self._process.poll() is None

    def cut_power(self) -> None:
        """All that runs on it is dead at once."""
        if self._process is None or not self.is_on:
            return
        first = self._first()
        self._is_cut = True  # before: whoever works on it meanwhile is to know why that fails
        if first:
            os.kill(first, signal.SIGKILL)
        self._process.wait(30)

    def _first(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError((self.folder / "node.log").read_text())
        task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = task.read_text().split()
        return int(children[0]) if children else 0


def bridge(node: Node) -> Thing:
    """For the plugin of that name: the network of a node's pods."""
    return {
        "cniVersion": "0.3.1",
        "name": "pods",
        "type": "bridge",
        "bridge": "pods",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(node.folder / "addresses"),
            "ranges": [[{"subnet": node.pods}]],
        },
    }


def _kubelet(control_group: str, resolver: Path) -> Thing:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # in this network is nobody else
        "clusterDNS": [SWITCH],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{control_group}",
        "failSwapOn": False,
        # The disk is the whole machine's: no image goes and nobody is put out because it fills.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "nodeStatusUpdateFrequency": "5s",
        # 1.20 tells only then that a container has started for which there is no readiness probe.
        "syncFrequency": "5s",
    }


def _make_control_groups(name: str) -> None:
    """A group of that name for every kind of resource (version 1, which Kubernetes 1.20 is for)."""
    for kind in CONTROL_GROUPS.iterdir():
        if kind.is_symlink() or not (kind / "tasks").exists():
            continue
        group = kind
        for part in Path(name).parts:
            above, group = group, group / part
            group.mkdir(exist_ok=True)
            for limit in ("cpuset.cpus", "cpuset.mems"):
                if (group / limit).exists():
                    (group / limit).write_text((above / limit).read_text())


def run(*words: str, given: str = "", seconds: float = 60) -> str:
    """A command's standard output. Its error output is shown if it fails."""
    done = subprocess.run(
        words, input=given, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        print(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        done.check_returncode()
    return done.stdout
