"""A private Kubernetes: its control plane in this process's namespaces, each node in its own.

`with-cluster.sh` gives the command that runs this a network, a process table and mounts of its own,
so whatever is done here is done to no firewall, no route and no file system of the machine, and is
gone with that command. A switch (10.210.0.1) stands for the network that hosts share: etcd, the API
server, the controller manager, the scheduler and the names of services are on it, cameras too. A
node (node.sh) has its own Docker engine, kubelet and kube-proxy, and is lost as a host is whose
power fails. A thread keeps the rules of the nodes in step with the NetworkPolicies (policies.py).
"""

import csv
import io
import json
import os
import secrets
import ssl
import subprocess
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster.node import SWITCH, Node, Thing, run
from tests.k8s.cluster.policies import pods_of, restored
from tests.k8s.manifests import kubectl_program
from tests.support import eventually

POD_NETWORKS: Final = "10.211.0.0/16"
SERVICES: Final = "10.212.0.0/24"
API: Final = f"https://{SWITCH}:6443"
START_SECONDS: Final = 240.0
POLICY_SECONDS: Final = 0.5
"""So long may a new pod be without its rules."""
PEOPLE: Final = {
    "admin": ("admin", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "controllers": ("system:kube-controller-manager", ""),
    "proxy": ("system:kube-proxy", ""),
}
"""Who speaks to the API server, with user name and group."""


class Machine:
    """The cluster."""

    def __init__(self, folder: Path, kubernetes: Path, images: Path, nodes: int) -> None:
        """`kubernetes` is what `build-kubernetes.sh` made, `images` an archive of `docker save`."""
        self.folder = folder
        self.nodes = [Node(number, folder) for number in range(1, nodes + 1)]
        self._kubernetes = kubernetes
        self._images = images
        self._control_group = os.environ.get("CRADLE_TEST_CONTROL_GROUP", "cradle-test")
        self._tokens: dict[str, str] = {}
        self._programs: list[subprocess.Popen[bytes]] = []
        self._end = threading.Event()
        self._guard = threading.Thread(target=self._keep_policies, daemon=True)

    # -- for tests ------------------------------------------------------------------------------

    def kubectl(self, *words: str, given: str = "", seconds: float = 120) -> str:
        """As a person who may do everything; its standard output."""
        return run(
            *(str(kubectl_program()), "--kubeconfig", str(self.folder / "admin.conf"), *words),
            given=given,
            seconds=seconds,
        )

    def get(self, *words: str) -> Any:
        """What `kubectl get` finds: the items, if they are several."""
        found = json.loads(self.kubectl("get", *words, "--output", "json"))
        return found.get("items", found)

    def publish_names(self) -> None:
        """Let the names of all services be known, as a cluster's own name server would."""
        hosts = self.folder / "names" / "services"
        lines = [
            f"{each['spec']['clusterIP']} {each['metadata']['name']}."
            f"{each['metadata']['namespace']}.svc.cluster.local"
            for each in self.get("services", "--all-namespaces")
            if each["spec"]["clusterIP"] != "None"
        ]
        part = self.folder / "services.part"
        part.write_text("\n".join(lines) + "\n")
        part.replace(hosts)

    @property
    def keeps_policies(self) -> bool:
        """Whether the rules still follow."""
        return self._guard.is_alive()

    # -- beginning and end ----------------------------------------------------------------------

    def start(self) -> None:
        """Returns when all nodes are ready."""
        self._wire()
        self._write_files()
        self._start_control_plane()
        for node in self.nodes:
            self._start_node(node)
        eventually(self._are_ready, START_SECONDS, "all nodes are ready", every_seconds=2)
        self._guard.start()

    def stop(self) -> None:
        """End everything."""
        self._end.set()
        if self._guard.is_alive():
            self._guard.join(30)
        for node in self.nodes:
            node.cut_power()
        for program in reversed(self._programs):
            program.kill()
            program.wait()

    def _are_ready(self) -> bool:
        ready = [
            condition["status"] == "True"
            for node in self.get("nodes")
            for condition in node["status"]["conditions"]
            if condition["type"] == "Ready"
        ]
        return len(ready) == len(self.nodes) and all(ready)

    def _wire(self) -> None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "type", "bridge")
        run("ip", "address", "add", f"{SWITCH}/24", "dev", "switch")
        run("ip", "link", "set", "switch", "up")
        # Who is on no node reaches services through the first, whose rules know them.
        run("ip", "route", "add", SERVICES, "via", self.nodes[0].address)

    def _write_files(self) -> None:
        certificate, key = self.folder / "api.crt", self.folder / "api.key"
        run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=cradle-test", "-addext", f"subjectAltName=IP:{SWITCH}"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
        run("openssl", "genrsa", "-out", str(self.folder / "accounts.key"), "2048")
        table = io.StringIO()
        for name, (user, group) in (
            PEOPLE.items()
            | {
                node.name: (f"system:node:{node.name}", "system:nodes") for node in self.nodes
            }.items()
        ):
            self._tokens[name] = secrets.token_hex(16)
            csv.writer(table).writerow([self._tokens[name], user, name, group])
        (self.folder / "tokens.csv").write_text(table.getvalue())
        for name in PEOPLE:
            self._write_login(self.folder / f"{name}.conf", name)
        (self.folder / "names").mkdir()
        (self.folder / "no-resolver").write_text("")

    def _write_login(self, file: Path, name: str) -> None:
        cluster = {"server": API, "certificate-authority": str(self.folder / "api.crt")}
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": cluster}],
                    "users": [{"name": name, "user": {"token": self._tokens[name]}}],
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": name}}],
                    "current-context": "here",
                }
            )
        )

    # -- the control plane ----------------------------------------------------------------------

    def _start_control_plane(self) -> None:
        accounts = self.folder / "accounts.key"
        self._start(
            "etcd",
            *("--data-dir", str(self.folder / "etcd"), "--listen-peer-urls", "http://127.0.0.1:0"),
        )
        self._start(
            "kube-apiserver",
            *("--bind-address", SWITCH, "--advertise-address", SWITCH),
            *("--tls-cert-file", str(self.folder / "api.crt")),
            *("--tls-private-key-file", str(self.folder / "api.key")),
            *("--etcd-servers", "http://127.0.0.1:2379"),
            *("--authorization-mode", "Node,RBAC", "--anonymous-auth=false"),
            *("--enable-admission-plugins", "NodeRestriction,PodSecurityPolicy"),
            *("--token-auth-file", str(self.folder / "tokens.csv")),
            *("--service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
            *("--service-account-key-file", str(accounts)),
            *("--service-account-signing-key-file", str(accounts)),
            *("--service-cluster-ip-range", SERVICES),
            *("--kubelet-preferred-address-types", "InternalIP"),
            # A host is given up after half a minute, not after six: a test waits for it.
            *("--default-not-ready-toleration-seconds", "10"),
            *("--default-unreachable-toleration-seconds", "10"),
            *("--feature-gates", "TTLAfterFinished=true"),
        )
        eventually(self._answers, START_SECONDS, "the API server", every_seconds=1)
        self._start(
            "kube-controller-manager",
            *("--kubeconfig", str(self.folder / "controllers.conf"), "--leader-elect=false"),
            *("--use-service-account-credentials", "--root-ca-file", str(self.folder / "api.crt")),
            *("--service-account-private-key-file", str(accounts)),
            *("--node-monitor-grace-period", "20s", "--pod-eviction-timeout", "10s"),
            *("--feature-gates", "TTLAfterFinished=true"),
        )
        self._start(
            "kube-scheduler",
            *("--kubeconfig", str(self.folder / "scheduler.conf"), "--leader-elect=false"),
        )
        self._start(
            "dnsmasq",
            *("--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--pid-file="),
            *("--bind-interfaces", f"--listen-address={SWITCH}", "--local=/cluster.local/"),
            f"--hostsdir={self.folder / 'names'}",
        )

    def _answers(self) -> bool:
        if self._programs[-1].poll() is not None:
            raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:])
        try:
            return self._read("/readyz") == b"ok"
        except (OSError, HTTPException):
            return False

    def _start(self, program: str, *words: str) -> None:
        with (self.folder / f"{program}.log").open("wb") as log:
            self._programs.append(
                subprocess.Popen(
                    [str(self._kubernetes / "bin" / program), *words],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "LD_LIBRARY_PATH": str(self._kubernetes / "lib")},
                )
            )

    # -- policies -------------------------------------------------------------------------------

    def _keep_policies(self) -> None:
        """The end of this thread, but at `stop`, is a fault that a test finds."""
        table = ""
        while not self._end.wait(POLICY_SECONDS):
            try:
                policies = self._ask("/apis/networking.k8s.io/v1/networkpolicies")
                pods = pods_of(self._ask("/api/v1/pods"))
            except (OSError, HTTPException):
                continue  # a machine that is short of time; the next turn comes
            now = restored(policies, pods, SWITCH)
            if now != table:
                for node in self.nodes:
                    node.filter(now)
                table = now

    def _ask(self, path: str) -> list[Thing]:
        items: list[Thing] = json.loads(self._read(path))["items"]
        return items

    def _read(self, path: str) -> bytes:
        login = {"Authorization": f"Bearer {self._tokens['admin']}"}
        context = ssl.create_default_context(cafile=str(self.folder / "api.crt"))
        request = urllib.request.Request(f"{API}{path}", headers=login)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return bytes(answer.read())

    # -- nodes ----------------------------------------------------------------------------------

    def _start_node(self, node: Node) -> None:
        node.prepare(f"{self._control_group}/{node.name}", self.folder / "no-resolver")
        self._write_login(node.folder / "kubelet.conf", node.name)
        self._write_login(node.folder / "proxy.conf", "proxy")
        others = [f"{each.pods}={each.address}" for each in self.nodes if each is not node]
        node.start(
            [
                *(str(Path(__file__).with_name("node.sh")), node.name, node.address, SWITCH),
                *(str(node.folder), str(self._kubernetes / "bin"), str(self._images)),
                *(POD_NETWORKS, *others),
            ]
        )
