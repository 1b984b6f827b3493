"""The stack as a person gets it: healthy, live, stored, and nothing lost by a restart of a part."""

import json
from http.client import HTTPConnection

import pytest

from shared.messages import Fragment, read_archive_message
from tests.containers.stack import STAGES, Stack, docker
from tests.footage import CAMERA
from tests.support import eventually

pytestmark = pytest.mark.timeout(4000)

STORED_SECONDS = 120.0


def test_every_service_is_up_and_healthy(stack: Stack) -> None:
    found = {
        each["Config"]["Labels"]["com.docker.compose.service"]: each for each in stack.containers()
    }
    once = {"broker-setup", "store-setup", "store-volume", "store-rights"}
    assert set(found) == set(stack.services) - once
    states = {name: each["State"]["Health"]["Status"] for name, each in found.items()}
    assert set(states.values()) == {"healthy"}, states


def test_a_camera_goes_live_and_into_the_bucket(stack: Stack) -> None:
    stack.wait_live()
    eventually(stack.clips, STORED_SECONDS, "a clip is stored", every_seconds=2)
    assert {clip.suffix for clip in stack.clips()} >= {"mp4", "json"}, "converted, not as it was"


def test_the_page_is_served_under_a_login(stack: Stack) -> None:
    ports = stack.containers("viewer")[0]["NetworkSettings"]["Ports"]["8080/tcp"]
    connection = HTTPConnection("127.0.0.1", int(ports[0]["HostPort"]), timeout=20)
    connection.request("GET", f"/api/cameras/{CAMERA}/live/index.m3u8")
    assert connection.getresponse().status == 401
    connection.close()


def test_the_commands_of_the_image_find_everything_in_order(stack: Stack) -> None:
    found = json.loads(stack.cradle("check", "--json"))
    wrong = [each for each in found["findings"] if each["state"] not in {"ok", "OK"}]
    assert found["exit_code"] == 0, wrong


def test_prometheus_scrapes_every_replica(stack: Stack) -> None:
    def down() -> list[str]:
        text = stack.in_container(
            "prometheus", "wget -q -O - 'http://127.0.0.1:9090/api/v1/targets?state=active'"
        )
        targets = json.loads(text)["data"]["activeTargets"]
        seen = {each["labels"]["job"] for each in targets if each["health"] == "up"}
        return sorted({*STAGES, "rabbitmq"} - seen)

    eventually(lambda: not down(), 90, "all are scraped", every_seconds=2)


def test_no_process_runs_as_root(stack: Stack) -> None:
    for container in stack.containers():
        users = docker("top", container["Id"], "-eo", "pid,uid,args").splitlines()[1:]
        assert users
        roots = [line for line in users if line.split()[1] == "0"]
        assert not roots, (container["Name"], roots)


def test_no_container_writes_outside_its_volumes(stack: Stack) -> None:
    for container in stack.containers():
        assert container["HostConfig"]["ReadonlyRootfs"], container["Name"]
        places = [
            *(each["Destination"] for each in container["Mounts"]),
            *(container["HostConfig"]["Tmpfs"] or {}),
        ]
        for line in docker("diff", container["Id"]).splitlines():
            path = line[2:]  # the engine itself makes the points where volumes are mounted
            is_mount = any(place == path or place.startswith(f"{path}/") for place in places)
            assert is_mount, (container["Name"], line)


def test_no_container_has_more_than_it_needs(stack: Stack) -> None:
    for container in stack.containers():
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"], container["Name"]
        assert not host["CapAdd"], container["Name"]
        assert not host["Privileged"], container["Name"]
        assert "no-new-privileges:true" in host["SecurityOpt"], container["Name"]


def test_only_the_page_is_published_beyond_loopback(stack: Stack) -> None:
    for container in stack.containers():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        for published in container["NetworkSettings"]["Ports"].values():
            addresses = {each["HostIp"] for each in published or ()}
            assert addresses <= {"127.0.0.1"}, (service, addresses)  # the page too, in this test


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_comes_back(stack: Stack, stage: str) -> None:
    container = stack.containers(stage)[0]
    before = container["State"]["StartedAt"]
    docker("exec", container["Id"], "sh", "-c", "kill -9 -1")  # all but init, which then ends
    eventually(
        lambda: stack.containers(stage)[0]["State"]["StartedAt"] != before, 60, every_seconds=0.5
    )
    stack.wait_healthy(stage)
    stack.wait_live()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_upgraded_goes_on(stack: Stack, stage: str) -> None:
    before = stack.containers(stage)[0]["Id"]
    stack.up("--force-recreate", "--no-deps", stage)
    assert stack.containers(stage)[0]["Id"] != before
    stack.wait_live()


def test_replicas_share_the_work(stack: Stack) -> None:
    stack.up("--no-recreate", "--scale", "encoder=2", "--scale", "analyzer=3", *stack.services)
    assert len(stack.containers("encoder")) == 2
    assert len(stack.containers("analyzer")) == 3
    stack.wait_live()
    found = json.loads(stack.cradle("check", "--json"))
    broker = next(each for each in found["findings"] if each["thing"] == "broker")
    assert "encoder 2" in broker["text"], broker
    assert "analyzer 3" in broker["text"], broker


def test_nothing_was_lost_by_all_this(stack: Stack) -> None:
    """The last test: ingest stops, and what it closed is in the bucket, each fragment once."""
    stack.compose("stop", "ingest")
    closed = fragments(stack)
    assert len({epoch for epoch, _ in closed}) > 2, "ingest was begun anew several times"
    eventually(lambda: len(stack.stored()) >= len(closed), STORED_SECONDS, every_seconds=2)
    assert stack.stored() == sorted(closed)
    verified = json.loads(stack.cradle("verify", "--json"))
    assert verified["clips"] > 0, verified
    assert not verified["damaged"], verified
    [covered] = json.loads(stack.cradle("coverage", "--json"))["cameras"]
    assert covered["stored_seconds"] > 60, covered
    lost = [hole for hole in covered["missing"] if hole["captured"]]
    assert not lost, "captured and not stored"
    stack.compose("stop")  # another stack is about to start


def fragments(stack: Stack) -> set[tuple[str, int]]:
    """Epoch and number of every fragment that ingest has closed, as the archiver sees them."""
    lines = stack.in_container("archiver", f"cat /var/lib/cradle/frames/{CAMERA}/*/index.jsonl")
    messages = [read_archive_message(line.encode()) for line in lines.splitlines() if line]
    return {(each.epoch, each.fragment) for each in messages if isinstance(each, Fragment)}
