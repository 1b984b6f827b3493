"""What deploy/k8s says to Kubernetes: it is valid, closed, and agrees with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

import shared.health
from deploy.local.vigil import HUNG_SECONDS
from deploy.rights.broker import OPERATOR
from deploy.rights.store import GRANTS
from shared import config
from shared.config import MetricsSettings
from shared.messages import Stage
from tests.k8s.custom import SCHEMAS
from tests.k8s.manifests import (
    BUILDS,
    FOLDER,
    ROOT,
    Manifest,
    build,
    built,
    data_of,
    of_kind,
    pods,
    values,
    workers,
)
from tests.k8s.restricted import breaches
from tests.services import STORE_IMAGE
from tests.stops import SPARE_SECONDS, STOPS

KUBERNETES = ("1.32", "1.34", "1.37")
"""The oldest that is looked after somewhere, one in the middle, and the newest known here."""


@pytest.fixture(params=BUILDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- valid --------------------------------------------------------------------------------------


def check(manifest: Manifest, version: str) -> None:
    schema = SCHEMAS.get(manifest["kind"])
    if schema is None:
        kubernetes_validate.validate(manifest, version, strict=True)
    else:
        jsonschema.validate(manifest, schema)


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_is_one_that_kubernetes_knows(name: str, version: str) -> None:
    for manifest in built(name):
        check(manifest, version)


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", *SCHEMAS])
def test_a_field_that_kubernetes_does_not_know_is_found(kind: str) -> None:
    manifest = of_kind("overlays/production", kind)[0]
    wrong = {**manifest, "spec": {**manifest["spec"], "replicaz": 3}}
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(wrong, KUBERNETES[-1])


@pytest.mark.parametrize("version", KUBERNETES)
def test_what_custom_resources_hold_of_kubernetes_own_is_known_to_it_too(version: str) -> None:
    """Pods that are laid over the operator's, and how a scaler's own autoscaler behaves."""
    (cluster,) = of_kind("overlays/production", "RabbitmqCluster")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "broker"}}
    check({**pod, "spec": overlaid(cluster)}, version)
    for scaled in of_kind("overlays/production", "ScaledObject"):
        behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        target = {"kind": "Deployment", **scaled["spec"]["scaleTargetRef"]}
        spec = {"scaleTargetRef": target, "maxReplicas": 2, "behavior": behavior}
        scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        check({**scaler, "metadata": {"name": "any"}, "spec": spec}, version)


def overlaid(cluster: Manifest) -> Manifest:
    """What a RabbitmqCluster says of its pods beyond the operator."""
    return dict(cluster["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"])


def test_everything_lies_in_the_one_namespace_and_no_name_is_given_twice(name: str) -> None:
    seen = set()
    for manifest in built(name):
        key = manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]
        assert key not in seen
        seen.add(key)
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "cradle", key


def test_all_five_stages_are_there_by_the_command_that_the_image_knows(name: str) -> None:
    assert {pod.name: pod.container["args"] for pod in workers(name)} == {
        stage.value: [stage.value] for stage in Stage
    }


def test_images_are_pinned(name: str) -> None:
    for image in values(list(built(name)), "image"):
        repository, _, tag = image.rpartition(":")
        assert repository, image
        assert re.search(r"\d+\.\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\dT", tag), image


def test_the_image_is_named_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base]\nimages: [{name: cradle, newName: example/cradle, newTag: 9.9.9}]\n"
    )
    (tmp_path / "base").symlink_to(FOLDER / "base")
    images = {image for manifest in build(tmp_path) for image in values(manifest, "image")}
    assert images == {"example/cradle:9.9.9"}


# -- pods ---------------------------------------------------------------------------------------


def test_pods_keep_the_restricted_standard_which_the_namespace_enforces(name: str) -> None:
    (namespace,) = of_kind(name, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {pod.name: breaches(pod.spec) for pod in pods(name)} == {
        pod.name: [] for pod in pods(name)
    }


def test_the_pods_of_the_brokers_operator_are_told_to_keep_it_too() -> None:
    (cluster,) = of_kind("overlays/production", "RabbitmqCluster")
    assert breaches(overlaid(cluster)) == []


def test_workers_run_as_the_images_user_on_a_root_that_cannot_be_written(name: str) -> None:
    for pod in workers(name):
        context = pod.spec["securityContext"]
        assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {10001}
        assert pod.container["securityContext"]["readOnlyRootFilesystem"] is True


def test_no_pod_gets_a_token_of_kubernetes(name: str) -> None:
    """Nor a broker's, which knows its peers by name since RabbitMQ 4.1 and asks nobody."""
    specs = [pod.spec for pod in pods(name)]
    specs += [overlaid(cluster) for cluster in of_kind(name, "RabbitmqCluster")]
    assert {spec["automountServiceAccountToken"] for spec in specs} == {False}


def test_every_mount_has_its_volume_and_every_volume_but_the_cameras_footage_a_limit(
    name: str,
) -> None:
    for pod in pods(name):
        claims = pod.workload["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        known = volumes.keys() | {claim["metadata"]["name"] for claim in claims}
        assert {mount["name"] for mount in pod.container["volumeMounts"]} == known, pod.name
        for volume in volumes.values():
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], pod.name


def test_every_container_says_what_it_needs_and_how_much_memory_it_may_take(name: str) -> None:
    for pod in pods(name):
        resources = pod.container["resources"]
        assert resources["requests"].keys() >= {"cpu", "memory"}, pod.name
        assert "memory" in resources["limits"], pod.name
        assert "cpu" not in resources["limits"], "who is throttled is late"


def test_the_memory_that_the_encoder_may_take_holds_its_spool(name: str) -> None:
    (pod,) = (each for each in workers(name) if each.name == "encoder")
    (spool,) = (each for each in pod.spec["volumes"] if each["name"] == "live-spool")
    assert spool["emptyDir"]["medium"] == "Memory"
    limit = mebibytes(pod.container["resources"]["limits"]["memory"])
    assert limit >= 2 * mebibytes(spool["emptyDir"]["sizeLimit"])


def mebibytes(quantity: str) -> int:
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


CAMERAS = {"base": 24, "overlays/single-node": 12, "overlays/production": 24}
"""For how many cameras of 1080p30 a worker's processor is asked for."""


def measured_cores(part: str, cameras: int) -> float:
    """By the page of what was measured with frames and live output in buckets."""
    page = (ROOT / "docs/PERFORMANCE.md").read_text()
    table = page[page.index("<!-- buckets -->") : page.index("<!-- end of buckets -->")]
    (seconds,) = re.findall(rf"^\| \.\.\. {part} +\| [\d.]+ +\| ([\d.]+) +\|$", table, re.MULTILINE)
    return float(seconds) / 60 * cameras


def cores(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def test_the_processor_that_is_asked_for_is_what_was_measured_with_buckets(name: str) -> None:
    part_of = {stage.value: stage.value for stage in Stage} | {
        "broker": "broker",
        "store": "object store",
    }
    for pod in pods(name):
        if part := part_of.get(pod.name):
            asked = cores(pod.container["resources"]["requests"]["cpu"])
            assert asked >= measured_cores(part, CAMERAS[name]), pod.name


def test_a_node_of_the_broker_of_production_asks_for_what_a_hundred_cameras_take() -> None:
    (cluster,) = of_kind("overlays/production", "RabbitmqCluster")
    asked = cores(cluster["spec"]["resources"]["requests"]["cpu"])
    assert asked >= measured_cores("broker", 100)


def test_one_node_of_two_cores_holds_everything_of_single_node() -> None:
    asked = sum(
        cores(pod.container["resources"]["requests"]["cpu"])
        * pod.workload["spec"].get("replicas", 1)
        for pod in pods("overlays/single-node")
    )
    assert asked <= 1.5, "the rest is the cluster's own"


def test_replicas_are_spread_over_nodes_by_labels_that_they_have(name: str) -> None:
    for pod in workers(name):
        of_deployment = {"pod-template-hash"} if pod.workload["kind"] == "Deployment" else set()
        keys = set()
        for spread in pod.spec["topologySpreadConstraints"]:
            keys.add(spread["topologyKey"])
            assert spread["labelSelector"]["matchLabels"].items() <= pod.labels.items()
            # A rollout is spread by itself, whatever lies where of the version before.
            assert {*spread["matchLabelKeys"]} >= of_deployment
            assert {*spread["matchLabelKeys"]} - {"pod-template-hash"} <= pod.labels.keys()
        assert "kubernetes.io/hostname" in keys
        assert "production" not in name or "topology.kubernetes.io/zone" in keys


# -- agreement with the code --------------------------------------------------------------------


def test_metrics_ports_are_those_of_the_stages(name: str) -> None:
    for pod in workers(name):
        ports = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
        assert ports["metrics"] == MetricsSettings().port_of(Stage(pod.name))


def test_a_worker_is_alive_until_it_has_hung_for_as_long_as_on_one_machine(name: str) -> None:
    for pod in workers(name):
        probe, start = pod.container["livenessProbe"], pod.container["startupProbe"]
        for each in (probe, start):
            assert each["httpGet"] == {"path": "/healthz", "port": "metrics"}
        limit = (probe["failureThreshold"] - 1) * probe["periodSeconds"]
        assert limit >= HUNG_SECONDS > shared.health.FRESH_SECONDS
        assert start["failureThreshold"] * start["periodSeconds"] >= 300


def test_a_worker_that_hangs_is_not_given_the_time_to_end_in_order(name: str) -> None:
    for pod in workers(name):
        assert pod.container["livenessProbe"]["terminationGracePeriodSeconds"] <= 10


def test_a_worker_counts_as_ready_when_it_has_lived_for_a_while(name: str) -> None:
    """It answers from its start: a fault of its configuration shows some seconds later."""
    for pod in workers(name):
        assert pod.workload["spec"]["minReadySeconds"] >= 30, pod.name


def test_the_store_keeps_its_configuration_where_it_may_write() -> None:
    """Where that is /, MinIO ends: github.com/minio/minio/issues/14763."""
    (pod,) = (each for each in pods("overlays/single-node") if each.name == "store")
    assert pod.container["securityContext"]["readOnlyRootFilesystem"] is True
    home = {each["name"]: each.get("value") for each in pod.container["env"]}["HOME"]
    (mount,) = (each for each in pod.container["volumeMounts"] if each["mountPath"] == home)
    (volume,) = (each for each in pod.spec["volumes"] if each["name"] == mount["name"])
    assert "emptyDir" in volume


def test_the_store_is_the_one_of_compose_and_of_the_tests() -> None:
    (pod,) = (each for each in pods("overlays/single-node") if each.name == "store")
    assert pod.container["image"] == STORE_IMAGE
    compose = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
    assert f"${{STORE_IMAGE:-{STORE_IMAGE}}}" in compose


def test_no_image_is_one_that_nobody_can_pull(name: str) -> None:
    """MinIO's own, the server and `mc`: Docker Hub and quay.io refuse them since September 2026."""
    for image in values(list(built(name)), "image"):
        assert not re.search(r"(^|/)minio/(minio|mc)[:@]", image)


def test_traffic_goes_to_pages_that_answer(name: str) -> None:
    (pod,) = (each for each in workers(name) if each.name == "viewer")
    assert pod.container["readinessProbe"]["httpGet"]["port"] == "http"
    ports = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
    assert ports["http"] == int(places(name)["CRADLE_VIEWER__PORT"])


@pytest.mark.parametrize("stage", list(Stage))
def test_the_grace_is_longer_than_an_orderly_stop_may_take(name: str, stage: Stage) -> None:
    (pod,) = (each for each in workers(name) if each.name == stage)
    before = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
    grace = pod.spec["terminationGracePeriodSeconds"]
    assert grace >= STOPS[stage] + before["seconds"] + SPARE_SECONDS


@pytest.mark.parametrize("stage", list(Stage))
def test_the_sum_in_the_comment_is_that_of_the_code(stage: Stage) -> None:
    text = (FOLDER / "base" / f"{stage}.yaml").read_text()
    comment = text[: text.index("terminationGracePeriodSeconds")]
    (told,) = re.findall(r"6 s[^:]*?: (\d+)\s+s\b|63 s: (\d+)\s+s\b", comment)[-1:]
    sleep = 5 if stage is Stage.VIEWER else 0
    assert int("".join(told)) == STOPS[stage] + sleep


def places(name: str) -> dict[str, str]:
    return data_of(name, "cradle-places")


def test_places_are_where_a_volume_is_mounted(name: str) -> None:
    owner = {"FRAMES__SPOOL": "ingest", "LIVE__SPOOL": "encoder", "VIEWER__URL": "viewer"}
    for key, stage in owner.items():
        (pod,) = (each for each in workers(name) if each.name == stage)
        path = places(name)[f"CRADLE_{key}"].removeprefix("file://")
        assert path in {mount["mountPath"] for mount in pod.container["volumeMounts"]}


def test_the_configuration_is_one_that_the_workers_take(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in places(name).items():
        monkeypatch.setenv(key, value)
    file = tmp_path / "cradle.yaml"
    file.write_text(data_of(name, "cradle-config")["cradle.yaml"])
    settings = config.load(file)
    assert settings.cameras
    assert settings.metrics.host == settings.viewer.host == "0.0.0.0"
    (pod,) = (each for each in workers(name) if each.name == "ingest")
    (claim,) = pod.workload["spec"]["volumeClaimTemplates"]
    size = mebibytes(claim["spec"]["resources"]["requests"]["storage"]) / 1024
    assert size >= 1.1 * settings.frames.spool_gib


def test_a_change_of_the_configuration_rolls_the_workers_out(name: str) -> None:
    for pod in workers(name):
        used = {
            each["name"] for key in ("configMap", "configMapRef") for each in values(pod.spec, key)
        }
        assert used <= {each["metadata"]["name"] for each in of_kind(name, "ConfigMap")}
        assert all(re.search(r"-[a-z0-9]{10}$", each) for each in used)


def test_what_the_readme_tells_people_to_do_is_done_to_what_is_there() -> None:
    readme = (FOLDER / "README.md").read_text()
    known = {
        (each["kind"].lower(), each["metadata"]["name"])
        for build_name in BUILDS
        for each in built(build_name)
    }
    named = re.findall(
        r"\b(deployment|statefulset|scaledobject|service|rabbitmqcluster)/([a-z-]+)", readme
    )
    assert len(named) > 8
    assert set(named) <= known
    (cluster,) = of_kind("overlays/production", "RabbitmqCluster")
    broker = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    nodes = re.findall(r"rabbit@(\w+)-server-\d\.(\w+)-nodes\.(\w+)\b", readme)
    assert nodes == [(broker[0], *broker)]
    for path in re.findall(r"`((?:components|overlays|base)/[\w./-]+)`", readme):
        assert (FOLDER / path).exists(), path


# -- secrets ------------------------------------------------------------------------------------


def secret_keys(name: str) -> Iterator[tuple[str, str | None]]:
    """Every Secret that is referred to, with the key if one is named."""
    for manifest in built(name):
        for each in values(manifest, "secretKeyRef"):
            yield each["name"], each["key"]
        for each in values(manifest, "secretRef"):
            yield each["name"], None
        for each in values(manifest, "secret"):
            yield each["secretName"], None
        for entries in values(manifest, "tls"):
            yield from ((entry["secretName"], None) for entry in entries)


def test_no_secret_is_in_the_repository(name: str) -> None:
    assert not of_kind(name, "Secret")
    for key in values(list(built(name)), "env"):
        for variable in key:
            is_secret = re.search(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|BROKER__URL", variable["name"])
            assert not (is_secret and "value" in variable), variable["name"]


def test_every_secret_that_is_referred_to_is_documented_with_its_key(name: str) -> None:
    readme = (FOLDER / "README.md").read_text()
    for secret, key in secret_keys(name):
        of_stage = re.sub(
            r"^(cradle-(?:broker|store))-(ingest|encoder|archiver|analyzer|viewer|operator)$",
            r"\1-<stage>",
            secret,
        )
        assert f"`{of_stage}`" in readme, secret
        assert key is None or f"`{key}`" in readme, (secret, key)


def test_each_stage_and_who_runs_commands_has_a_user_of_the_broker_and_a_key_of_the_store(
    name: str,
) -> None:
    for pod in pods(name):
        if not (pod.is_worker or pod.is_command):
            continue
        user = OPERATOR if pod.is_command else pod.name
        named = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in pod.container["env"]
            if "valueFrom" in variable
        }
        assert named["CRADLE_BROKER__URL"] == f"cradle-broker-{user}"
        assert named["CRADLE_ARCHIVE__ACCESS_KEY"] == f"cradle-store-{user}"
        assert named["CRADLE_ARCHIVE__SECRET_KEY"] == f"cradle-store-{user}"


def test_nobody_waits_for_commands_until_somebody_wants_to_run_one(name: str) -> None:
    (pod,) = (each for each in pods(name) if each.is_command)
    assert pod.workload["spec"]["replicas"] == 0
    mounts = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
    for key in ("FRAMES__SPOOL", "LIVE__SPOOL"):  # `cradle check` writes there
        assert places(name)[f"CRADLE_{key}"].removeprefix("file://") in mounts


def test_the_store_of_one_node_gets_every_key_that_there_are_rights_for() -> None:
    (job,) = (each for each in pods("overlays/single-node") if each.name == "store-setup")
    (script,) = job.container["args"]
    (loop,) = re.findall(r"for stage in (.+); do", script)
    users = {str(user) for user in GRANTS}
    assert set(loop.split()) == users
    mounts = {mount["mountPath"]: mount["name"] for mount in job.container["volumeMounts"]}
    secrets = {
        each["name"]: each["secret"]["secretName"]
        for each in job.spec["volumes"]
        if "secret" in each
    }
    for user in users:
        assert secrets[mounts[f"/keys/{user}"]] == f"cradle-store-{user}"
        assert f"{user}.json" in data_of("overlays/single-node", "store-policies")
    assert "grep" not in script, "mc's image has none"
