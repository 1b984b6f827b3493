"""The single-node overlay on a real Kubernetes of two nodes, without a shared volume.

In the order in which they stand: what one does to the stages, the last ones look back at.
"""

import json
import re
import subprocess
import time

import pytest

from shared.messages import Stage
from tests.footage import CAMERA, newest
from tests.k8s.cluster.installed import CAMERA_PORT, Installed
from tests.k8s.cluster.machine import Machine
from tests.k8s.cluster.node import SWITCH
from tests.support import eventually

pytestmark = pytest.mark.timeout(1800)

STORED_SECONDS = 120.0
SETTLE_SECONDS = 150.0
STAGES = [str(stage) for stage in Stage]


# -- it is there ----------------------------------------------------------------------------------


def test_stages_run_on_both_nodes(house: Installed) -> None:
    nodes = {house.pod(stage)["spec"]["nodeName"] for stage in STAGES}
    assert nodes == {node.name for node in house.machine.nodes}


def test_no_volume_is_shared(house: Installed) -> None:
    owner: dict[str, str] = {}
    for pod in house.get("pods"):
        name = pod["metadata"]["name"]
        for volume in pod["spec"].get("volumes", ()):
            kinds = volume.keys() - {"name"}
            assert kinds <= {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}, name
            if claim := volume.get("persistentVolumeClaim"):
                assert owner.setdefault(claim["claimName"], name) == name
    assert set(owner.values()) == {"broker-0", "store-0", "ingest-0"}
    for claim in house.get("persistentvolumeclaims"):
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_camera_goes_live_through_the_service_of_the_page(house: Installed) -> None:
    house.wait_live()
    name = newest(house.playlist())
    assert len(house.segment(name)) > 10_000
    path = f"/api/cameras/{CAMERA}/live/index.m3u8"
    assert house.anybody().ask("GET", path).status == 401


def test_clips_come_into_the_bucket(house: Installed) -> None:
    eventually(house.clips, STORED_SECONDS, "a clip is stored", every_seconds=2)
    assert {clip.suffix for clip in house.clips()} >= {"mp4", "json"}, "converted, not as it was"
    eventually(
        lambda: house.keys("cradle", f"analysis/{CAMERA}/"),
        STORED_SECONDS,
        "an analysis is stored",
        every_seconds=2,
    )


def test_the_commands_of_the_image_find_everything_in_order(house: Installed) -> None:
    found = json.loads(house.cradle("check", "--json"))
    wrong = [each for each in found["findings"] if each["state"] not in {"ok", "OK"}]
    assert found["exit_code"] == 0, wrong


# -- what may a process do ------------------------------------------------------------------------


def test_no_process_is_root_or_may_become_it(house: Installed) -> None:
    for pod in _pods(house):
        said = _in_pod(house, pod, "cat /proc/[0-9]*/status")
        assert said.count("Name:") > 1
        for field, wanted in (
            ("Uid", r"[1-9]\d*(\t[1-9]\d*){3}"),
            ("Gid", r"[1-9]\d*(\t[1-9]\d*){3}"),
            ("CapEff", "0{16}"),
            ("CapBnd", "0{16}"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ):
            values = re.findall(rf"^{field}:\t(.*)$", said, re.MULTILINE)
            assert values, (pod, field)
            assert all(re.fullmatch(wanted, value) for value in values), (pod, field, values)


def test_workers_can_write_to_their_own_volumes_only(house: Installed) -> None:
    for stage in STAGES:
        pod = house.pod(stage)
        mounts = {
            mount["mountPath"]
            for mount in pod["spec"]["containers"][0]["volumeMounts"]
            if not mount.get("readOnly")
        }
        table = _in_pod(house, pod["metadata"]["name"], "cat /proc/1/mountinfo").splitlines()
        writable = {
            line.split()[4]
            for line in table
            if line.split()[5].startswith("rw")
            and not line.split()[4].startswith(("/proc", "/dev"))
        }
        # These the engine lays into every container, and they belong to root.
        writable -= {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/sys/fs/cgroup"}
        assert writable == mounts, stage
        for mount in mounts:
            _in_pod(house, pod["metadata"]["name"], f"touch {mount}/.t && rm {mount}/.t")


def test_no_pod_has_a_login_of_kubernetes(house: Installed) -> None:
    for pod in _pods(house):
        assert "none" in _in_pod(house, pod, "ls /var/run/secrets/kubernetes.io || echo none")


def test_a_pod_that_is_root_is_refused(house: Installed) -> None:
    root = '{"spec": {"securityContext": {"runAsUser": 0}}}'
    words = ("run", "root", "--image=cradle:test", "--overrides", root)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        house.kubectl(*words)
    assert "forbidden: PodSecurityPolicy" in refused.value.stderr


def test_policies_let_in_whom_they_name_and_nobody_else(house: Installed) -> None:
    """All of the tests here pass with these rules in force."""
    assert house.machine.keeps_policies
    for name, service, port, may in (
        ("cradle", "broker", 5672, True),
        ("cradle", "store", 9000, True),
        ("cradle", "store", 9001, False),
        ("cradle", "viewer", 80, False),
        ("encoder", "broker", 5672, True),
        ("encoder", "broker", 15672, False),
        ("archiver", "viewer", 80, False),
    ):
        assert _reaches(house, name, service, port) is may, (name, service, port)
    for stage in STAGES:
        assert _reaches(house, stage, SWITCH, CAMERA_PORT) is (stage == Stage.INGEST), stage


# -- what happens to stages -----------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_processes_are_killed_comes_back(house: Installed, stage: str) -> None:
    before = house.restarts(stage)
    _strike(house, stage, "KILL")
    _wait_for_restart(house, stage, before, 60)
    house.rolled_out(house.workload_of(stage))
    house.wait_live()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_pod_is_deleted_ends_in_time_and_comes_back(
    house: Installed, stage: str
) -> None:
    pod = house.pod(stage)
    grace = (
        pod["metadata"].get("deletionGracePeriodSeconds")
        or pod["spec"]["terminationGracePeriodSeconds"]
    )
    began = time.monotonic()
    house.kubectl("delete", "pod", pod["metadata"]["name"], seconds=grace + 60)
    took = time.monotonic() - began
    print(f"{stage} ended in {took:.0f} s of {grace} s")
    assert took < grace, "it was killed"
    house.rolled_out(house.workload_of(stage))
    assert house.pod(stage)["metadata"]["uid"] != pod["metadata"]["uid"]
    house.wait_live()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_rolled_out_anew_goes_on(house: Installed, stage: str) -> None:
    before = house.pod(stage)["metadata"]["uid"]
    house.kubectl("rollout", "restart", house.workload_of(stage))
    house.rolled_out(house.workload_of(stage), 300)
    assert before not in {pod["metadata"]["uid"] for pod in house.pods(stage)}
    house.wait_live()


@pytest.mark.parametrize("service", ["broker", "store"])
def test_what_the_stages_stand_on_comes_back_with_its_data(house: Installed, service: str) -> None:
    stored = set(house.clips())
    assert stored
    house.kubectl("delete", "pod", f"{service}-0", seconds=200)
    house.rolled_out(f"statefulset/{service}")
    house.wait_live()
    assert stored <= set(house.clips())


def test_replicas_share_the_work(house: Installed) -> None:
    for stage in ("encoder", "analyzer"):
        house.kubectl("scale", f"deployment/{stage}", "--replicas=2")
    for stage in ("encoder", "analyzer"):
        house.rolled_out(f"deployment/{stage}")
        nodes = [pod["spec"]["nodeName"] for pod in house.pods(stage)]
        assert len(nodes) == 2
    house.wait_live()
    found = json.loads(house.cradle("check", "--json"))
    broker = next(each for each in found["findings"] if each["thing"] == "broker")
    assert "encoder 2" in broker["text"], broker
    assert "analyzer 2" in broker["text"], broker
    for stage in ("encoder", "analyzer"):
        house.kubectl("scale", f"deployment/{stage}", "--replicas=1")
    house.wait_live()


def test_a_stage_that_hangs_is_started_again(house: Installed) -> None:
    """All at once: each takes a minute of bad answers, and its grace, for it cannot end."""
    before = {stage: house.restarts(stage) for stage in STAGES}
    for stage in STAGES:
        _strike(house, stage, "STOP")
    began = time.monotonic()
    for stage in sorted(STAGES, key=lambda each: _grace(house, each)):
        _wait_for_restart(house, stage, before[stage], 400)
        print(f"{stage} was started again after {time.monotonic() - began:.0f} s")
    for stage in STAGES:
        house.rolled_out(house.workload_of(stage))
    house.wait_live()


def test_a_node_can_be_drained(house: Installed, machine: Machine) -> None:
    """The budgets let every single replica go, and what is lost on the way is nothing."""
    drained, stays = machine.nodes[1], machine.nodes[0]
    moved = [stage for stage in STAGES if house.pod(stage)["spec"]["nodeName"] == drained.name]
    assert moved
    words = ("drain", drained.name, "--delete-emptydir-data", "--timeout=300s")
    machine.kubectl(*words, seconds=330)
    for stage in moved:
        _wait_for_move(house, stage, stays.name)
    house.wait_live()
    machine.kubectl("uncordon", drained.name)
    house.kubectl("rollout", "restart", *(f"deployment/{stage}" for stage in moved))
    for stage in moved:
        house.rolled_out(f"deployment/{stage}", 300)


def test_a_host_that_is_lost_is_replaced(house: Installed, machine: Machine) -> None:
    """The second: what it ran comes up on the first, where the volumes are."""
    lost = machine.nodes[1]
    struck = [stage for stage in STAGES if house.pod(stage)["spec"]["nodeName"] == lost.name]
    assert struck
    lost.cut_power()
    for stage in struck:
        _wait_for_move(house, stage, machine.nodes[0].name)
    assert machine.keeps_policies
    house.wait_live()


# -- what is left of it ---------------------------------------------------------------------------


def test_nothing_was_lost_by_all_this(house: Installed) -> None:
    """Ingest stops, and what it closed is in the bucket of clips, each fragment once."""
    house.kubectl("scale", "statefulset/ingest", "--replicas=0")
    eventually(lambda: not house.pods("ingest"), 60, every_seconds=1)
    house.kubectl("wait", "--for=delete", "pod/ingest-0", "--timeout=180s", seconds=200)
    closed = house.closed()
    assert len({epoch for epoch, _ in closed}) > 3, "ingest was begun anew several times"
    eventually(lambda: len(house.stored()) >= len(closed), STORED_SECONDS, every_seconds=2)
    assert house.stored() == closed
    verified = json.loads(house.cradle("verify", "--json"))
    assert verified["clips"] > 0, verified
    assert not verified["damaged"], verified
    [covered] = json.loads(house.cradle("coverage", "--json"))["cameras"]
    assert covered["stored_seconds"] > 60, covered
    lost = [hole for hole in covered["missing"] if hole["captured"]]
    assert not lost, "captured and not stored"


def _pods(house: Installed) -> list[str]:
    """All but the job that is done."""
    names = (*STAGES, "broker", "store", "cradle")
    return [house.pod(name)["metadata"]["name"] for name in names]


def _in_pod(house: Installed, pod: str, script: str) -> str:
    return house.in_pod(pod, "sh", "-c", script)


def _reaches(house: Installed, name: str, host: str, port: int) -> bool:
    pod = house.pod(name)["metadata"]["name"]
    tried = f"import socket; socket.create_connection(({host!r}, {port}), 4)"
    try:
        house.in_pod(pod, "python", "-c", tried)
    except subprocess.CalledProcessError as error:
        assert "TimeoutError" in error.stderr, error.stderr
        return False
    return True


def _strike(house: Installed, stage: str, blow: str) -> None:
    """A signal to all processes of the container but the first, which is the init."""
    name = house.pod(stage)["metadata"]["name"]
    _in_pod(house, name, f"kill -{blow} -1")


def _wait_for_restart(house: Installed, stage: str, before: int, seconds: float) -> None:
    what = f"{stage} is started again"
    eventually(lambda: house.restarts(stage) > before, seconds, what, every_seconds=1)


def _wait_for_move(house: Installed, stage: str, node: str) -> None:
    def is_there() -> bool:
        return any(
            pod["spec"].get("nodeName") == node
            and ("Ready", "True")
            in ((each["type"], each["status"]) for each in pod["status"].get("conditions", ()))
            for pod in house.pods(stage)
        )

    eventually(is_there, SETTLE_SECONDS, f"{stage} is on {node}", every_seconds=2)


def _grace(house: Installed, stage: str) -> int:
    return int(house.pod(stage)["spec"]["terminationGracePeriodSeconds"])
