"""Ingest as a process, on a real broker: killed, frozen, starved of disk and broker, shared."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploy.local.ports import free_ports
from deploy.local.status import fetch
from ingest.handover import HANDED_OVER
from ingest.recovery import INTERRUPTED
from shared.framestore import INDEX_NAME, FrameReader, parse_index
from shared.link import Delivery, Link
from shared.messages import (
    Batch,
    EpochEnd,
    Event,
    Fragment,
    Sample,
    Stage,
    read_archive_message,
    read_batch,
    read_event,
    read_sample,
)
from shared.topology import (
    EVENTS,
    FRAMES,
    ArchiveQueue,
    Queue,
    archiver_queue,
    common_queues,
    encoder_queue,
    ingest_seat_queue,
    lost_queue,
    presence_queue,
    stored_queue,
)
from tests.gate import Gate
from tests.ingest_studio import carried_by_ffmpeg, count_packets
from tests.line import decode_counters as decode_media
from tests.rtsp import RtspServer
from tests.scenarios import Place, Running, Scenarios
from tests.services import BrokerService
from tests.support import eventually
from tests.videos import Videos, decode_counters

CAMERA = "camera-1"
ARCHIVED = archiver_queue(CAMERA, ArchiveQueue.CLASSIC)
SECONDS = 60
"""Patience: scenarios share two cores."""
FRAMES_WITH_SOUND = 10
NOTICED_SOON = 4
"""Heartbeat, where silence must be noticed; long enough for a busy machine not to seem frozen."""
CLASSIC = {"x-queue-type": "classic"}


@dataclass
class Station:
    """A virtual host, a frame store, ingest workers, and everything they say."""

    place: Place
    broker: BrokerService
    url: str
    link: Link
    config: dict[str, Any]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    records: list[Fragment | EpochEnd] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    # -- workers --------------------------------------------------------------------------------

    def start(self, name: str = "ingest", broker: str | None = None, **environment: str) -> None:
        file = self.place.folder / "cradle.yaml"
        file.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self.ports[name] = free_ports(1)[0]
        with self.log_file(name).open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", "ingest", "--config", str(file), "--name", name],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "CRADLE_METRICS__PORT": str(self.ports[name]),
                    "CRADLE_BROKER__URL": broker or self.url,
                    **environment,
                },
            )

    def signal(self, number: signal.Signals, name: str = "ingest") -> None:
        self.workers[name].send_signal(number)

    def kill(self, name: str = "ingest") -> None:
        self.workers[name].kill()
        self.workers.pop(name).wait(10)

    def stop(self, name: str = "ingest") -> int:
        self.signal(signal.SIGTERM, name)
        return self.wait_for_end(name)

    def wait_for_end(self, name: str = "ingest") -> int:
        return self.workers.pop(name).wait(SECONDS)

    def log_file(self, name: str) -> Path:
        return self.place.folder / f"{name}.log"

    def lines(self, action: str, name: str = "ingest") -> list[dict[str, Any]]:
        """Lines of a worker's log with this action."""
        found = []
        for line in self.log_file(name).read_text().splitlines():
            with suppress(ValueError):
                content = json.loads(line)
                if content.get("action") == action:
                    found.append(content)
        return found

    def states(self, name: str = "ingest") -> dict[str, str]:
        """What /healthz says of each camera."""
        states: dict[str, str] = json.loads(self.ask(name, "/healthz"))["states"]
        return states

    def figure(self, pattern: str, name: str = "ingest") -> float:
        text = self.ask(name, "/metrics")
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(pattern, line)
        )

    def ask(self, name: str, path: str) -> str:
        """What the worker answers; it may take its time to begin, and on a busy machine."""
        address = f"http://127.0.0.1:{self.ports[name]}{path}"
        return eventually(lambda: fetch(address), SECONDS, address)

    # -- what they say and store ----------------------------------------------------------------

    def listen(self) -> None:
        """Queues as the other stages would have them, and an ear on all messages."""
        for queue in (*common_queues(), ARCHIVED, encoder_queue(CAMERA)):
            self.link.declare(queue)
        readers: dict[str, tuple[str, Any, list[Any]]] = {
            "batch.#": (FRAMES, read_batch, self.batches),
            "fragment.#": (FRAMES, read_archive_message, self.records),
            "sample.#": (FRAMES, read_sample, self.samples),
            "ingest.#": (EVENTS, read_event, self.events),
        }
        for key, (exchange, read, found) in readers.items():
            ear = Queue(f"ear.{key.partition('.')[0]}", CLASSIC, ((exchange, key),))

            def heard(delivery: Delivery, read: Any = read, found: list[Any] = found) -> None:
                found.append(read(delivery.body))
                delivery.ack()

            self.link.consume(
                ear, prefetch=1000, exclusive=True, on_delivery=heard, on_closed=lambda _: None
            )

    @property
    def frames(self) -> Path:
        return self.place.folder / "frames"

    def closed(self, camera: str = CAMERA) -> list[Fragment | EpochEnd]:
        """All lines of a camera's indexes, in order."""
        reader = FrameReader(self.frames)
        found: list[Fragment | EpochEnd] = []
        for epoch in reader.epochs(camera):
            index = reader.closed(camera, epoch)
            assert not index.torn
            found += index.fragments
            found += [index.end] if index.end is not None else []
        return found

    def told(self, camera: str = CAMERA) -> list[Fragment | EpochEnd]:
        """What was published of a camera, without repetitions."""
        found: list[Fragment | EpochEnd] = []
        for each in list(self.records):
            if each.camera == camera and each not in found:
                found.append(each)
        return found

    def until_told(self, camera: str = CAMERA) -> list[Fragment | EpochEnd]:
        """Wait until everything that is closed was published, in order; returns it."""
        eventually(lambda: self.told(camera) == self.closed(camera) != [], SECONDS, "all published")
        return self.closed(camera)

    def until_fragments(self, count: int, camera: str = CAMERA) -> None:
        def there() -> bool:
            assert all(each.poll() is None for each in self.workers.values()), "a worker ended"
            return sum(isinstance(each, Fragment) for each in self.told(camera)) >= count

        eventually(there, SECONDS, f"{count} fragments published")

    def until_recorded(self, epochs: int, camera: str = CAMERA) -> None:
        """Wait until so many epochs are there, and the newest has a fragment that is closed."""

        def there() -> bool:
            reader = FrameReader(self.frames)
            found = reader.epochs(camera)
            return len(found) == epochs and bool(reader.closed(camera, found[-1]).fragments)

        eventually(there, SECONDS, f"{epochs} epochs")

    def ends(self, camera: str = CAMERA) -> list[EpochEnd]:
        return [each for each in self.closed(camera) if isinstance(each, EpochEnd)]

    def check_store(self, camera: str = CAMERA) -> None:
        """Every epoch is closed; its fragments are as long as they say, joined and counted."""
        reader = FrameReader(self.frames)
        for epoch in reader.epochs(camera):
            index = reader.closed(camera, epoch)
            assert index.end is not None
            assert index.end.fragments == len(index.fragments)
            data = b"".join(
                reader.read(each.path, 0, (self.frames / each.path).stat().st_size)
                for each in index.fragments
            )
            assert len(data) == sum(each.bytes for each in index.fragments)
            if data:
                frames = sum(each.frames for each in index.fragments)
                # Who is told to stop in its first moment has announced sound, and has none yet.
                sound = () if frames >= FRAMES_WITH_SOUND else ("-map", "-0:a")
                target = self.place.folder / f"{epoch}.mp4"
                carried_by_ffmpeg(data, target, *sound)
                assert count_packets(target) == frames

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.wait(10)


BROKER: list[BrokerService] = []


@contextmanager
def new_station(place: Place) -> Iterator[Station]:
    broker = BROKER[0]
    config = {
        "frames": {"url": (place.folder / "frames").as_uri()},
        "archive": {"endpoint": "http://127.0.0.1:1", "secret_key": "nobody asks"},
        "analysis": {"interval_seconds": 2},
        "cameras": [camera(CAMERA, place)],
    }
    with broker.virtual_host() as url, Link(SecretStr(url), "test") as link:
        station = Station(place, broker, url, link, config)
        station.listen()
        try:
            yield station
        except BaseException:
            for log in sorted(place.folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text()[-5000:]}")
            raise
        finally:
            station.close()


def camera(name: str, place: Place) -> dict[str, Any]:
    video = place.video(seconds=4, size=(160, 90))
    return {"id": name, "source": video.as_uri(), "loop": True}


scenario = Scenarios(new_station, at_once=5)


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    videos: Videos,
    broker: BrokerService,
) -> Iterator[Running]:
    BROKER.append(broker)
    yield from scenario.run(request, tmp_path_factory.mktemp("stations"), videos)
    BROKER.clear()


# -- the good day -------------------------------------------------------------------------------


@scenario
def everything_is_announced_and_an_orderly_stop_ends_the_epoch(station: Station) -> None:
    station.start()
    station.until_fragments(4)
    assert station.stop() == 0
    told = station.until_told()
    assert isinstance(told[-1], EpochEnd)
    assert told[-1].reason == "ingest was stopped"
    assert station.records == told  # each once
    station.check_store()
    fragments = [each for each in told if isinstance(each, Fragment)]
    frames = sum(each.frames for each in fragments)
    eventually(lambda: sum(batch.frames for batch in station.batches) >= frames, SECONDS)
    eventually(lambda: station.samples and len(station.events) >= 2, SECONDS)
    for each in fragments:
        mine = [batch for batch in station.batches if batch.path == each.path]
        assert [batch.offset for batch in mine] == sorted(batch.offset for batch in mine)
        assert sum(batch.frames for batch in mine) == each.frames
        assert sum(batch.bytes for batch in mine) == each.bytes
    told_once = [event for event, _ in groupby(each.event for each in station.events)]
    assert told_once == ["online", "offline"]  # how a camera is, is told again each ten seconds
    assert station.events[-1].detail == {"reason": "ingest was stopped"}
    assert {picture.path for sample in station.samples for picture in sample.pictures} <= {
        each.path for each in fragments
    }


@scenario
def figures_say_what_happened(station: Station) -> None:
    station.start()
    station.until_fragments(2)
    assert station.states() == {CAMERA: "live"}
    assert station.figure(r"cradle_ingest_fragments_total") >= 2
    assert station.figure(r"cradle_ingest_frames_total") >= 60
    assert station.figure(r"cradle_ingest_camera_online") == 1
    station.stop()


@scenario
def without_analysis_there_are_no_samples(station: Station) -> None:
    station.config["analysis"] = {"provider": "off"}
    station.start()
    station.until_fragments(5)
    station.stop()
    assert station.samples == []


@scenario
def a_once_played_file_ends_and_is_left_at_that(station: Station) -> None:
    station.config["cameras"][0]["loop"] = False
    station.start()
    eventually(lambda: station.states() == {CAMERA: "ended"}, SECONDS)
    eventually(station.ends, SECONDS)  # the disk may take longer than the camera
    told = station.until_told()
    assert sum(each.frames for each in told if isinstance(each, Fragment)) == 120
    assert station.stop() == 0
    assert len(station.ends()) == 1


# -- killed and frozen --------------------------------------------------------------------------


@scenario
def after_a_kill_in_mid_fragment_the_next_start_closes_and_publishes_it(station: Station) -> None:
    station.start()
    station.until_fragments(2)
    frames = sum(each.frames for each in station.batches)
    eventually(lambda: sum(each.frames for each in station.batches) > frames + 40, SECONDS)
    station.kill()
    assert not station.ends()
    announced = sum(each.frames for each in station.batches)
    station.start()
    station.until_recorded(epochs=2)
    station.stop()
    station.until_told()
    station.check_store()
    first = station.ends()[0]
    assert first.reason == "ingest was interrupted"
    stored = [each for each in station.closed() if isinstance(each, Fragment)]
    of_first = [each for each in stored if each.epoch == first.epoch]
    assert sum(each.frames for each in of_first) >= announced
    numbers = [
        number for each in of_first for number in decode_counters(station.frames / each.path)
    ]
    assert numbers == [number % 120 for number in range(len(numbers))]


@scenario.each(
    before_sync="ingest.before-sync",
    before_line="ingest.before-line",
    after_line="ingest.after-line",
)
def a_kill_at_the_index_loses_and_doubles_nothing(station: Station, fault: str) -> None:
    for _ in range(2):
        station.start(CRADLE_FAULT=fault)
        assert station.wait_for_end() == -signal.SIGKILL
    station.start()
    station.until_recorded(epochs=3)
    station.stop()
    station.until_told()
    station.check_store()
    epochs = FrameReader(station.frames).epochs(CAMERA)
    assert len(epochs) == len(station.ends()) == 3
    for each in station.closed():
        if isinstance(each, Fragment):
            numbers = decode_counters(station.frames / each.path)
            assert numbers == list(range(numbers[0], numbers[0] + each.frames))


@scenario
def a_frozen_worker_loses_its_camera_and_writes_nothing_when_it_wakes(station: Station) -> None:
    station.config["broker"] = {"heartbeat_seconds": NOTICED_SOON}
    station.start("first")
    eventually(lambda: station.states("first") == {CAMERA: "live"}, SECONDS)
    station.until_fragments(1)
    station.start("second")
    eventually(lambda: station.lines("worker.started", "second"), SECONDS)
    (epoch,) = FrameReader(station.frames).epochs(CAMERA)
    folder = station.frames / CAMERA / epoch
    station.signal(signal.SIGSTOP, "first")
    eventually(lambda: station.states("second") == {CAMERA: "live"}, SECONDS)
    before = {path.name: path.read_bytes() for path in closed_files(folder)}
    assert station.ends()[0].epoch == epoch
    assert len(before) == station.ends()[0].fragments + 1
    station.signal(signal.SIGCONT, "first")
    eventually(lambda: station.lines("ingest.thawed", "first"), SECONDS)
    station.until_fragments(len(station.told()) + 2)
    assert {path.name: path.read_bytes() for path in closed_files(folder)} == before
    assert station.states("first") == {}
    assert station.stop("first") == 0
    assert station.stop("second") == 0
    station.until_told()
    station.check_store()


def closed_files(folder: Path) -> list[Path]:
    """An epoch's index, and what it names: a file that holds no frame yet is behind it."""
    index = parse_index((folder / INDEX_NAME).read_bytes())
    return [folder / INDEX_NAME, *(folder / Path(each.path).name for each in index.fragments)]


# -- the broker ---------------------------------------------------------------------------------


@scenario.each(shut="shut", silent="hold")
def with_the_broker_away_recording_goes_on_and_everything_is_published_later(
    station: Station, how: str
) -> None:
    station.config["broker"] = {"heartbeat_seconds": NOTICED_SOON}
    with Gate(station.url) as gate:
        station.start(broker=gate.url)
        station.until_fragments(2)
        getattr(gate, how)()
        eventually(lambda: station.lines("ingest.session"), SECONDS)
        before = len(station.closed())
        eventually(lambda: len(station.closed()) >= before + 6, SECONDS)
        assert len(station.told()) < len(station.closed())
        gate.open()
        station.until_fragments(before + 8)
        assert station.stop() == 0
    told = station.until_told()
    assert len(station.ends()) == 1  # it never stopped recording
    assert len(station.records) < 2 * len(told)
    station.check_store()


@scenario
def a_worker_that_starts_before_the_broker_waits_and_says_so(station: Station) -> None:
    with Gate(station.url) as gate:
        gate.shut()
        station.start(broker=gate.url)
        eventually(lambda: station.lines("ingest.session"), SECONDS)
        assert "cannot be reached" in station.lines("ingest.session")[0]["reason"]
        assert "nothing is recorded yet" in station.lines("ingest.session")[0]["event"]
        eventually(lambda: station.states().get(CAMERA, "").startswith("waits: "), SECONDS)
        assert json.loads(station.ask("ingest", "/healthz"))["alive"]
        gate.open()
        station.until_fragments(1)
        eventually(lambda: station.states() == {CAMERA: "live"}, SECONDS)
        assert station.stop() == 0
    assert urlless(station)


def urlless(station: Station) -> bool:
    """The broker's password is in no log."""
    password = station.url.split("@")[0].rpartition(":")[2]
    return not any(password in log.read_text() for log in station.place.folder.glob("*.log"))


@scenario
def a_broker_that_suddenly_refuses_us_stops_no_recording(station: Station) -> None:
    station.start()
    station.until_fragments(1)
    name = stored_queue(CAMERA).name
    host = station.url.rpartition("/")[2]
    station.broker.call("DELETE", f"/api/queues/{host}/{name}")
    station.link.declare(Queue(name, {**CLASSIC, "x-max-length": 1}))
    refused = eventually(lambda: station.lines("stored.unheard"), SECONDS)
    assert "rabbitmqctl delete_queue" in refused[0]["reason"]
    before = len(station.closed())
    eventually(lambda: len(station.closed()) > before + 2, SECONDS)
    station.broker.call("DELETE", f"/api/queues/{host}/{name}")
    station.until_told()
    assert station.stop() == 0
    assert len(station.ends()) == 1


@scenario
def a_queue_deleted_by_hand_comes_back(station: Station) -> None:
    station.start()
    station.until_fragments(1)
    host = station.url.rpartition("/")[2]
    names = [ARCHIVED.name, stored_queue(CAMERA).name, lost_queue().name]
    for name in names:
        station.broker.call("DELETE", f"/api/queues/{host}/{name}")

    def there() -> set[str]:
        content = json.loads(station.broker.call("GET", f"/api/queues/{host}"))
        return {each["name"] for each in content}

    eventually(lambda: {*names} <= there(), SECONDS)
    stored = stored_queue(CAMERA)
    eventually(lambda: station.link.declare(stored).consumers == 1, SECONDS, "heard again")
    assert station.stop() == 0


@scenario.each(
    archiver=partial(archiver_queue, kind=ArchiveQueue.CLASSIC),
    encoder=encoder_queue,
    stored=stored_queue,
)
def a_queue_that_was_made_with_other_arguments_stops_no_recording(
    station: Station, queue_of: Callable[[str], Queue]
) -> None:
    """Made by another version, or by hand: something of one camera has to wait, no more."""
    mine = queue_of(CAMERA)
    station.link.declare(mine)
    host = station.url.rpartition("/")[2]
    station.broker.call("DELETE", f"/api/queues/{host}/{mine.name}")
    other = Queue(mine.name, {**mine.arguments, "x-max-length": 1000}, mine.bindings)
    station.link.declare(other)
    station.config["cameras"].append(camera("camera-2", station.place))
    station.start()
    for name in (CAMERA, "camera-2"):
        station.until_fragments(3, name)
    (line, *_) = station.lines("queue.misconfigured")
    assert line["queue"] == mine.name
    assert "delete_queue" in line["reason"]
    assert station.stop() == 0
    for name in (CAMERA, "camera-2"):
        assert station.until_told(name) == station.closed(name)


@scenario
def a_seat_lost_alone_is_taken_again_and_the_recording_goes_on(station: Station) -> None:
    station.start()
    station.until_fragments(1)
    host = station.url.rpartition("/")[2]
    seat = ingest_seat_queue(CAMERA)
    station.broker.call("DELETE", f"/api/queues/{host}/{seat.name}")
    eventually(lambda: station.link.declare(seat).consumers == 1, SECONDS)
    station.until_fragments(4)
    assert station.stop() == 0
    assert len(station.ends()) == 1


@scenario
def a_message_that_cannot_be_obeyed_goes_to_the_lost(station: Station) -> None:
    station.start()
    station.until_fragments(1)
    station.link.publish_and_wait(EVENTS, f"archiver.{CAMERA}.stored", b"garbage")
    lost = eventually(lambda: station.link.get(lost_queue()), SECONDS)
    assert lost is not None
    assert (lost.body, lost.headers["x-cradle-worker"]) == (b"garbage", "ingest")
    assert station.stop() == 0


# -- sharing ------------------------------------------------------------------------------------


@scenario
def two_workers_share_the_cameras_and_one_takes_over_when_the_other_dies(
    station: Station,
) -> None:
    names = [f"camera-{number}" for number in range(1, 5)]
    station.config["cameras"] = [camera(name, station.place) for name in names]
    station.start("first")
    eventually(lambda: len(station.states("first")) == 4, SECONDS)
    station.start("second")
    eventually(lambda: len(station.states("first")) == len(station.states("second")) == 2, SECONDS)
    held = [set(station.states(name)) for name in ("first", "second")]
    assert held[0] | held[1] == {*names}
    station.kill("first")
    eventually(lambda: set(station.states("second")) == {*names}, SECONDS)
    for name in names:
        eventually(lambda name=name: station.states("second")[name] == "live", SECONDS)  # type: ignore[misc]
    assert station.stop("second") == 0
    for name in names:
        station.until_told(name)
        station.check_store(name)


@scenario
def a_connection_cut_on_the_way_ends_no_recording(station: Station) -> None:
    # The broker notices after two, ingest gives up after 2.8: far enough apart on a busy machine.
    station.config["broker"] = {"heartbeat_seconds": 2 * NOTICED_SOON}
    with Gate(station.url) as gate:
        station.start(broker=gate.url)
        station.until_fragments(1)
        gate.cut()  # the broker goes on holding the seat for the connection that is gone
        eventually(lambda: station.lines("seat.refused"), SECONDS)
        station.until_fragments(len(station.closed()) + 2)
        assert station.stop() == 0
    assert len(station.ends()) == 1
    station.until_told()
    station.check_store()


@scenario
def a_capture_whose_seat_was_taken_meanwhile_ends_its_epoch_and_stops(station: Station) -> None:
    station.config["broker"] = {"heartbeat_seconds": NOTICED_SOON}
    with Gate(station.url) as gate:
        station.start("first", broker=gate.url)
        station.until_fragments(1)
        gate.shut()
        station.start("second")
        eventually(lambda: station.states("second") == {CAMERA: "live"}, SECONDS)
        assert station.states("first") == {CAMERA: "live"}
        gate.open()
        eventually(lambda: station.states("first") == {}, SECONDS)
        assert station.states("second") == {CAMERA: "live"}
        assert station.stop("first") == 0
        assert station.stop("second") == 0
    station.until_told()
    station.check_store()


# -- handed over in order -----------------------------------------------------------------------


def counters_by_epoch(station: Station) -> dict[str, list[int]]:
    """Frame numbers that are stored, in order, by epoch."""
    reader = FrameReader(station.frames)
    return {
        epoch: decode_media(
            b"".join(
                reader.read(each.path, 0, each.bytes)
                for each in reader.closed(CAMERA, epoch).fragments
            )
        )
        for epoch in reader.epochs(CAMERA)
    }


def check_nothing_between(station: Station) -> None:
    """Each epoch is whole, and the next holds the frame behind its last, or an earlier one."""
    counters = list(counters_by_epoch(station).values())
    assert len(counters) == 2
    for numbers in counters:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    before, after = counters
    assert before[0] < after[0] <= before[-1] + 1


@contextmanager
def recording_rtsp(station: Station, *names: str) -> Iterator[None]:
    """Cameras whose picture goes on whoever looks, recorded by the worker `first`."""
    with RtspServer() as server:
        video = station.place.video(seconds=240, size=(160, 90))
        station.config["cameras"] = [
            {"id": name, "source": server.mount(name, video)} for name in names
        ]
        station.start("first")
        for name in names:
            station.until_fragments(2, name)
        yield


@contextmanager
def somebody_else(station: Station) -> Iterator[None]:
    """Another worker, by its presence alone: it takes no camera."""
    ear = station.link.consume(
        presence_queue(Stage.INGEST),
        prefetch=1,
        exclusive=False,
        on_delivery=lambda delivery: delivery.ack(),
        on_closed=lambda _: None,
    )
    yield
    ear.close()


def until_more(station: Station, *names: str) -> None:
    """Recording goes on."""
    for name in names:
        station.until_fragments(len(station.told(name)) + 2, name)


@scenario
def a_worker_that_is_told_to_stop_records_until_the_next_one_does(station: Station) -> None:
    with recording_rtsp(station, CAMERA):
        station.start("second")
        eventually(lambda: presence(station) == 2, SECONDS, "the second worker")
        assert station.stop("first") == 0
        (left,) = station.lines("handover.begun", "first")
        eventually(lambda: station.states("second") == {CAMERA: "live"}, SECONDS)
        until_more(station, CAMERA)
        assert station.stop("second") == 0
    station.until_told()
    station.check_store()
    check_nothing_between(station)
    first, second = station.ends()
    assert first.epoch == left["epoch"]
    assert (first.reason, second.reason) == (HANDED_OVER, "ingest was stopped")
    assert [each.epoch for each in station.told()] == sorted(each.epoch for each in station.told())


@scenario
def a_worker_that_joins_is_given_its_share_without_a_gap(station: Station) -> None:
    names = (CAMERA, "camera-2")
    with recording_rtsp(station, *names):
        station.start("second")
        eventually(lambda: "live" in station.states("second").values(), SECONDS, "a fair share")
        (given,) = eventually(lambda: station.states("second"), SECONDS)
        eventually(lambda: given not in station.states("first"), SECONDS, "only the other's")
        assert len(station.states("first")) == 1
        until_more(station, *names)
        assert station.stop("second") == 0
        assert station.stop("first") == 0
    assert HANDED_OVER in [each.reason for each in station.ends(given)]


@scenario
def a_camera_that_nobody_takes_is_recorded_on_by_who_gave_it_up(station: Station) -> None:
    names = (CAMERA, "camera-2")
    with recording_rtsp(station, *names):
        with somebody_else(station):
            eventually(lambda: station.lines("handover.begun", "first"), SECONDS, "a surplus")
        eventually(lambda: len(station.lines("seat.taken", "first")) == 3, SECONDS, "taken back")
        until_more(station, *names)
        assert station.stop("first") == 0
    for name in names:
        (end,) = station.ends(name)
        assert end.reason == "ingest was stopped"


@scenario
def who_is_killed_while_handing_over_is_closed_by_the_next(station: Station) -> None:
    with recording_rtsp(station, CAMERA):
        with somebody_else(station):
            station.signal(signal.SIGTERM, "first")
            eventually(lambda: station.lines("seat.released", "first"), SECONDS, "the seat freed")
            station.kill("first")
        station.start("second")
        until_more(station, CAMERA)
        eventually(lambda: len(station.ends()) == 1, SECONDS, "closed")
        assert station.stop("second") == 0
    station.until_told()
    station.check_store()
    assert station.ends()[0].reason == INTERRUPTED


def presence(station: Station) -> int:
    return station.link.declare(presence_queue(Stage.INGEST)).consumers


# -- the disk -----------------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else takes all the room that there is."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    return ballast


@scenario
def on_a_full_disk_the_oldest_goes_and_recording_goes_on(station: Station) -> None:
    """With the store away nothing is archived, so there is nothing else to go."""
    with small_disk(station.frames, 8):
        station.start()
        station.until_fragments(8)  # what goes must leave more room than the notes of it take
        ballast = fill(station.frames)
        eventually(lambda: station.lines("janitor.deleted"), SECONDS, "room")
        until_more(station, CAMERA)
        (first, *_) = station.lines("janitor.deleted")
        assert (first["reason"], first["level"]) == ("quota", "error")
        assert list((station.frames / CAMERA).glob("deleted-*.json")), "for the custody record"
        eventually(
            lambda: any(each.event == "expired" for each in station.events), SECONDS, "it is told"
        )
        assert station.workers["ingest"].poll() is None
        # It may have been full more than once: an epoch that broke off is closed once there is room
        # for its line, and what comes after it is published then.
        ballast.unlink()
        reader = FrameReader(station.frames)
        eventually(lambda: len(reader.epochs(CAMERA)) <= len(station.ends()) + 1, SECONDS, "closed")
        assert station.stop() == 0
        station.until_told()


@scenario
def a_disk_that_others_have_filled_is_waited_for(station: Station) -> None:
    with small_disk(station.frames, 8):
        ballast = fill(station.frames)
        station.start()
        eventually(lambda: "No space" in station.states().get(CAMERA, ""), SECONDS)
        assert station.workers["ingest"].poll() is None
        assert station.figure("cradle_ingest_failures_total") >= 1
        ballast.unlink()
        eventually(lambda: station.states() == {CAMERA: "live"}, SECONDS)
        station.until_fragments(2)
        assert station.stop() == 0
        station.until_told()
        station.check_store()


@scenario
def a_disk_that_cannot_be_written_is_waited_for(station: Station) -> None:
    with small_disk(station.frames, 64):
        remount(station.frames, "ro")
        station.start()
        eventually(lambda: "Read-only" in station.states().get(CAMERA, ""), SECONDS)
        assert station.workers["ingest"].poll() is None
        remount(station.frames, "rw")
        eventually(lambda: station.states() == {CAMERA: "live"}, SECONDS)
        station.until_fragments(1)
        assert station.stop() == 0
        station.until_told()
        station.check_store()


def remount(path: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(path)], check=True)


# -- what only a person can mend ----------------------------------------------------------------


@scenario
def a_camera_without_its_password_costs_that_camera_alone(station: Station) -> None:
    forgotten = {"id": "a", "source": "rtsp://u@192.0.2.1/1", "password_env": "NOT_SET"}
    station.config["cameras"].insert(0, forgotten)
    station.start()
    words = "cameras.a.password_env: the environment variable NOT_SET is not set; set it"
    eventually(lambda: station.states().get(CAMERA) == "live", SECONDS)
    station.until_fragments(2)
    assert station.states()["a"].startswith(f"offline: {words}")
    tries = r'cradle_ingest_failures_total\{camera="a"\}'
    eventually(lambda: station.figure(tries) > 1, SECONDS, "tried again")
    [line] = station.lines("camera.misconfigured")
    assert (line["level"], line["camera"]) == ("error", "a")
    told = [each for each in list(station.events) if each.camera == "a"]
    assert {each.event for each in told} == {"offline"}
    assert str(told[0].detail["reason"]).startswith(words)
    assert station.stop() == 0


@scenario.each(
    frames_in_the_way=({"frames": {"url": "file:///dev/null/frames"}}, "frames.url"),
    unknown_key=({"frams": {}}, "frams: no such key"),
)
def what_only_a_person_can_mend_is_one_sentence_and_exit_code_2(
    station: Station, case: tuple[dict[str, Any], str]
) -> None:
    changes, words = case
    station.config.update(changes)
    station.start()
    assert station.wait_for_end() == 2
    last = station.log_file("ingest").read_text().splitlines()[-1]
    assert last.startswith("ingest: ")
    assert words in last


@scenario
def a_broker_that_refuses_our_password_ends_the_worker_at_its_start(station: Station) -> None:
    password = station.url.split("@")[0].rpartition(":")[2]
    station.start(broker=station.url.replace(password, "hush"))
    assert station.wait_for_end() == 2
    said = station.log_file("ingest").read_text()
    assert "broker.url" in said.splitlines()[-1]
    assert "hush" not in said


@pytest.mark.parametrize("name", scenario.names)
def test_worker(name: str, running: Running) -> None:
    running[name].result(170)
