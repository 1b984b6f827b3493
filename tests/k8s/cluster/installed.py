"""Cradle on the cluster of machine.py, as a person who reads deploy/k8s/README.md installs it.

The overlay is `single-node` with what Kubernetes 1.20 and the missing images force (overlay/). The
camera is the RTSP server of the other tests, on the switch. Volumes are folders of the first node:
so the broker, the store and ingest are there, and other stages where the scheduler puts them.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from minio import Minio

from deploy.rights.store import GRANTS
from shared.messages import Stage
from tests.containers.stack import REPOSITORY, open_to
from tests.footage import CAMERA, Footage, newest
from tests.k8s.cluster.machine import Machine
from tests.k8s.cluster.node import SWITCH, Thing
from tests.k8s.manifests import FOLDER
from tests.rtsp import RtspServer
from tests.support import eventually
from tests.viewer_house import PASSWORD, Person

NAMESPACE: Final = "cradle"
OVERLAY: Final = Path(__file__).with_name("overlay")
CAMERA_PORT: Final = 8554
"""As overlay/cradle.yaml has it."""
START_SECONDS: Final = 600.0
SETTLE_SECONDS: Final = 150.0
VOLUMES: Final = 3
"""Of ingest, broker and store."""


class Installed(Footage):
    """What runs in the namespace, and what a person does with it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._secrets: dict[str, dict[str, str]] = {}
        self._person = Person("")

    # -- installing -----------------------------------------------------------------------------

    def install(self) -> None:
        """The README's steps, and what a cluster has and this one not. Returns when all is up."""
        self._add_what_a_cluster_has()
        self.machine.kubectl("apply", "--filename", str(FOLDER / "base" / "namespace.yaml"))
        secrets = _made_by_credentials()
        self.machine.kubectl("apply", "--filename", "-", given=secrets)
        self._secrets = {
            each["metadata"]["name"]: each["stringData"] for each in json.loads(secrets)["items"]
        }
        self._apply(_secret("store-identities", {"identities.json": self._identities()}))
        self.machine.kubectl("apply", "--kustomize", str(OVERLAY))
        self.machine.publish_names()
        self.kubectl("scale", "deployment/cradle", "--replicas=1")  # for its commands
        for name in self.workloads():
            self.rolled_out(name, START_SECONDS)
        self._person = Person(f"http://{self.address_of('viewer')}")

    def _add_what_a_cluster_has(self) -> None:
        """A class of storage that is the default, and a standard that pods must keep."""
        self.machine.kubectl("apply", "-f", str(Path(__file__).with_name("restricted.yaml")))
        self._apply(STORAGE)
        for number in range(VOLUMES):
            folder = self.machine.folder / f"volume-{number}"
            folder.mkdir()
            self._apply(_volume(folder, self.machine.nodes[0].name))

    def _identities(self) -> str:
        """For SeaweedFS: the keys that were made, each with the policy of deploy/k8s for it."""
        keys = {user: self._secrets[f"cradle-store-{user}"] for user in GRANTS}
        users = [
            {
                "name": key["access_key"],
                "credentials": [{"accessKey": key["access_key"], "secretKey": key["secret_key"]}],
                "policyNames": [str(user)],
            }
            for user, key in keys.items()
        ]
        root = self._secrets["cradle-store-root"]
        first = {
            "name": "root",
            "credentials": [{"accessKey": root["access_key"], "secretKey": root["secret_key"]}],
            "actions": ["Admin"],
        }
        policies = FOLDER / "overlays" / "single-node" / "policies"
        return json.dumps(
            {
                "identities": [first, *users],
                "policies": [
                    {"name": str(user), "content": (policies / f"{user}.json").read_text()}
                    for user in GRANTS
                ],
            }
        )

    def _apply(self, *things: Thing) -> None:
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)})
        self.machine.kubectl("apply", "--filename", "-", given=given)

    # -- looking --------------------------------------------------------------------------------

    def kubectl(self, *words: str, given: str = "", seconds: float = 120) -> str:
        """In the namespace."""
        return self.machine.kubectl("--namespace", NAMESPACE, *words, given=given, seconds=seconds)

    def get(self, *words: str) -> Any:
        return self.machine.get("--namespace", NAMESPACE, *words)

    def workloads(self) -> list[str]:
        """Every Deployment and StatefulSet as kubectl names it."""
        return self.kubectl("get", "deployments,statefulsets", "--output", "name").split()

    def workload_of(self, stage: str) -> str:
        """As kubectl names it."""
        return f"statefulset/{stage}" if stage == Stage.INGEST else f"deployment/{stage}"

    def pods(self, name: str) -> list[Thing]:
        """Of one workload, without those that are leaving."""
        found = self.get("pods", "--selector", f"app.kubernetes.io/name={name}")
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def pod(self, name: str) -> Thing:
        """The only one."""
        (only,) = self.pods(name)
        return dict(only)

    def in_pod(self, pod: str, *words: str, seconds: float = 120) -> str:
        """What a command in it prints."""
        return self.kubectl("exec", pod, "--", *words, seconds=seconds)

    def cradle(self, *words: str) -> str:
        """A command, in the pod that is there for them."""
        config = ("--config", "/etc/cradle/cradle.yaml")
        name = self.pod("cradle")["metadata"]["name"]
        return self.in_pod(name, "cradle", *words, *config, seconds=300)

    def address_of(self, service: str) -> str:
        """In the cluster: the first node's rules know the way."""
        return str(self.get("service", service)["spec"]["clusterIP"])

    def store(self) -> Minio:
        key = self._secrets["cradle-store-operator"]
        return Minio(
            f"{self.address_of('store')}:9000",
            key["access_key"],
            key["secret_key"],
            secure=False,
            region="us-east-1",
        )

    def playlist(self) -> str:
        """The live playlist as the page gets it, through the viewer's Service, or nothing."""
        try:
            if not self._person.cookie:
                self._person.log_in("operator")
            answer = self._person.ask("GET", f"/api/cameras/{CAMERA}/live/index.m3u8")
        except (OSError, HTTPException):
            return ""
        return answer.body.decode() if answer.status == 200 else ""

    def anybody(self) -> Person:
        """Who has no login."""
        return Person(self._person.address)

    def segment(self, name: str) -> bytes:
        """A live segment as the page gets it."""
        return self._person.ask("GET", f"/api/cameras/{CAMERA}/live/{name}").body

    # -- waiting --------------------------------------------------------------------------------

    def rolled_out(self, name: str, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until every replica is the newest and ready."""
        words = ("rollout", "status", name, f"--timeout={seconds:.0f}s")
        self.kubectl(*words, seconds=seconds + 30)

    def wait_live(self) -> None:
        """Wait until a segment comes that was not there."""
        before = newest(self.playlist())
        eventually(
            lambda: (now := newest(self.playlist())) and now != before,
            SETTLE_SECONDS,
            "the camera is live",
            every_seconds=1,
        )

    def restarts(self, stage: str) -> int:
        """How often the container of the only pod was started anew."""
        (status,) = self.pod(stage)["status"]["containerStatuses"]
        return int(status["restartCount"])


@contextmanager
def installed(machine: Machine, video: Path) -> Iterator[Installed]:
    """Cradle, up, with one camera. The machine ends with all that it holds."""
    here = Installed(machine)
    with RtspServer() as camera, open_to(SWITCH, camera.port, CAMERA_PORT):
        camera.mount("room", video)
        try:
            here.install()
            yield here
        finally:
            print(here.kubectl("get", "pods", "--output", "wide"))
            print(here.kubectl("get", "events", "--sort-by=.lastTimestamp")[-12000:])
            for stage in Stage:
                selector = f"app.kubernetes.io/name={stage}"
                with suppress(subprocess.CalledProcessError):  # of a pod on a host that is lost
                    print(here.kubectl("logs", "--tail=12", "--prefix", "--selector", selector))


STORAGE: Final[Thing] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "folders",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def _volume(folder: Path, node: str) -> Thing:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": folder.name},
        "spec": {
            "storageClassName": "folders",
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def _secret(name: str, data: dict[str, str]) -> Thing:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": data,
    }


def _made_by_credentials() -> str:
    """What the README's command prints. Without a terminal, it takes the password as input."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.k8s.credentials"],
        cwd=REPOSITORY,
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        start_new_session=True,
    ).stdout
