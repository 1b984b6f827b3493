# For people: `make demo` and `make test`. Both install what is missing (Debian 12, root or sudo).
#   make demo CAMERA=rtsp://192.0.2.10/stream1      or CAMERA=path/to/a/video.mp4
# For developers: lint, test-unit, test-integration, bench, bench-wall, faults, outages, screenshots, lock.
# test-containers: the image and the compose stack (tests/containers/README.md).
# test-cluster: the image on a Kubernetes of two nodes (tests/k8s/README.md).
# test-services-in-containers: the same tests on RabbitMQ 4 and Silo's image (tests/containers/README.md).

PYTHON ?= python3
CAMERA ?= test:1280x720@30
DATA   ?= $(CURDIR)/demo-data
BIN    := .venv/bin
RUNTIME_STAMP := .venv/.runtime
DEV_STAMP     := .venv/.dev

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint test-unit test-integration test-services-in-containers test-containers \
	test-cluster \
	bench bench-wall faults \
	outages screenshots lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -6

setup: $(RUNTIME_STAMP)
setup-dev: $(DEV_STAMP)

$(RUNTIME_STAMP): requirements.lock pyproject.toml deploy/setup.sh viewer/page/package-lock.json
	deploy/setup.sh run "$(PYTHON)" requirements.lock
	touch $@

$(DEV_STAMP): requirements-dev.lock pyproject.toml deploy/setup.sh viewer/page/package-lock.json \
		tests/player/package-lock.json tests/k8s/package-lock.json
	deploy/setup.sh test "$(PYTHON)" requirements-dev.lock
	touch $@ $(RUNTIME_STAMP)

# The address may hold a password: it goes by the environment, unechoed, for anybody may read `ps`.
# make's own words are there too, so with a password: CAMERA=rtsp://user:password@... make demo
demo: export CRADLE_DEMO_CAMERA = $(value CAMERA)
demo: setup
	@$(BIN)/python -m deploy.command.demo --data "$(DATA)"

test: setup-dev lint
	$(BIN)/python -m pytest

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for script in viewer/page/assets/*.js; do node --check "$$script" || exit 1; done

test-unit: setup-dev
	$(BIN)/python -m pytest tests/unit

test-integration: setup-dev
	$(BIN)/python -m pytest tests/integration

SERVICE_TESTS ?= $(addprefix tests/integration/,test_topology_on_broker.py test_link.py test_archive_queue.py \
	test_objectstore.py test_archiver.py test_archiver_commit.py test_archiver_expiry.py \
	test_encoder_worker.py test_ingest_worker.py)
test-services-in-containers: setup-dev
	tests/containers/with-engine.sh $(BIN)/python -m pytest $(SERVICE_TESTS)

test-containers: setup-dev
	CRADLE_TEST_STACK=1 tests/containers/with-engine.sh $(BIN)/python -m pytest tests/containers

test-cluster: setup-dev
	tests/k8s/cluster/with-cluster.sh $(BIN)/python -m pytest tests/k8s/cluster

bench: setup-dev
	$(BIN)/python -m tests.bench

# The wall with 24 rooms in a browser; on a machine with nothing else to do.
bench-wall: setup-dev
	$(BIN)/python -m tests.bench.wall

faults: setup-dev
	$(BIN)/python -m tests.faults

outages: setup-dev
	$(BIN)/python -m tests.faults.outages

screenshots: setup-dev
	$(BIN)/python -m tests.screenshots

# Needs uv (`pip install uv`). The locks name no index host.
LOCK := uv pip compile pyproject.toml deploy/build.in --generate-hashes --strip-extras \
	--no-emit-index-url --no-header --no-annotate --universal --python-version 3.11 -q
lock:
	$(LOCK) --extra gemini --extra gemini-legacy --extra local --extra tracing -o requirements.lock
	$(LOCK) --all-extras -o requirements-dev.lock

clean:
	rm -rf .venv viewer/page/node_modules tests/player/node_modules tests/k8s/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
