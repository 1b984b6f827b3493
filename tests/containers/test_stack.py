"""The stack as a person gets it: healthy, live, stored, and nothing lost by a restart of a part."""

import json
import re
from http.client import HTTPConnection

import pytest

from shared.messages import Fragment, read_archive_message
from tests.containers import trials
from tests.containers.stack import README, STAGES, Stack, docker
from tests.footage import CAMERA
from tests.support import eventually

pytestmark = pytest.mark.timeout(4000)


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
    eventually(stack.clips, trials.STORED_SECONDS, "a clip is stored", every_seconds=2)
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


def test_prometheus_scrapes_every_service(stack: Stack) -> None:
    trials.is_scraped(stack)


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
    trials.kill(stack, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_upgraded_goes_on(stack: Stack, stage: str) -> None:
    trials.upgrade(stack, stage)


def test_replicas_share_the_work_and_prometheus_scrapes_every_one(stack: Stack) -> None:
    trials.scale_out(stack)


def test_a_camera_is_added_as_the_readme_says_and_costs_itself_alone(stack: Stack) -> None:
    """With its password forgotten, then with it, then taken out again."""
    [command] = re.findall(r"docker compose up .*--force-recreate.*", README.read_text())
    rooms, passwords = (stack.folder / "private" / name for name in ("cradle.yaml", "cameras.env"))
    text = rooms.read_text()
    [source] = re.findall(r'source: "(.*)"', text)
    login = "username: viewer, password_env: CAMERA_2_PASSWORD"
    rooms.write_text(f'{text}  - {{id: camera-2, source: "{source}", {login}}}\n')
    stack.follow(command)
    stack.wait_live()
    eventually(
        lambda: "CAMERA_2_PASSWORD is not set" in stack.states("ingest").get("camera-2", ""),
        60,
        "the camera says what it wants",
        every_seconds=1,
    )
    with passwords.open("a") as file:
        file.write("CAMERA_2_PASSWORD='a $ecret'\n")
    assert json.loads(stack.cradle("check", "--json"))["exit_code"] == 0
    stack.follow(command)
    eventually(
        lambda: stack.states("ingest").get("camera-2") == "live", 60, "it is live", every_seconds=1
    )
    rooms.write_text(text)
    stack.follow(command)
    stack.wait_live()


def test_nothing_was_lost_by_all_this(stack: Stack) -> None:
    """The last test: ingest stops, and what it closed is in the bucket, each fragment once."""
    stack.compose("stop", "ingest")
    trials.nothing_is_lost(stack, sorted(fragments(stack)), least_epochs=3)
    stack.compose("stop")  # another stack is about to start


def fragments(stack: Stack) -> set[tuple[str, int]]:
    """Epoch and number of every fragment that ingest has closed, as the archiver sees them."""
    lines = stack.in_container("archiver", f"cat /var/lib/cradle/frames/{CAMERA}/*/index.jsonl")
    messages = [read_archive_message(line.encode()) for line in lines.splitlines() if line]
    return {(each.epoch, each.fragment) for each in messages if isinstance(each, Fragment)}
