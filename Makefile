# The whole project from a checkout: Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
FAULTS ?= tests/faults
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Tests start Python hundreds of times: what is imported, and every file of tests, is compiled once.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test faults fuzz bench images-test install lint lint-docker lock clean

demo: install  ## start everything, publish a stream of transactions, show what came of it; KEEP=1 does not stop
	@$(BIN)/faust-ledger demo $(if $(KEEP),--keep)

test: install lint  ## everything, on real Kafka, registry, PostgreSQL and workers
	$(BIN)/python -m pytest -n 3

faults: install  ## every fault on real processes under load; writes docs/fault-plan.md
	FAUST_LEDGER_FAULT_PLAN=docs/fault-plan.md $(BIN)/python -m pytest -o faulthandler_timeout=3600 $(FAULTS)

fuzz: install  ## hostile input for an hour or so: FAUST_LEDGER_FUZZ_EXAMPLES a decoder, FAUST_LEDGER_HOSTILE_RECORDS
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -o faulthandler_timeout=0 \
	  tests/property/test_properties_decoders.py tests/property/test_properties_codecs.py
	FAUST_LEDGER_ALTERATIONS=$${FAUST_LEDGER_ALTERATIONS:-50000} \
	  FAUST_LEDGER_ALTERATIONS_SEED=$${FAUST_LEDGER_ALTERATIONS_SEED:-$$(date +%s)} \
	  $(BIN)/python -m pytest -o faulthandler_timeout=0 -s tests/integration/test_gl_alterations.py
	FAUST_LEDGER_SEEDS=$${FAUST_LEDGER_SEEDS:-50000} \
	  $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/simulation/test_seeds.py
	FAUST_LEDGER_HISTORY_SEEDS=$${FAUST_LEDGER_HISTORY_SEEDS:-300} \
	  $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/integration/test_gl_history_writers.py
	FAUST_LEDGER_FUZZ_REQUESTS=$${FAUST_LEDGER_FUZZ_REQUESTS:-2000} \
	  $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/integration/test_api_document.py
	FAUST_LEDGER_HOSTILE_RECORDS=$${FAUST_LEDGER_HOSTILE_RECORDS:-1000000} \
	  FAUST_LEDGER_HOSTILE_SEED=$${FAUST_LEDGER_HOSTILE_SEED:-$$(date +%s)} \
	  $(BIN)/python -m pytest -o faulthandler_timeout=0 -s tests/hostile

images-test: install  ## the image and a ledger in containers; as root, with buildah, podman, runc and mmdebstrap
	$(BIN)/python -m pytest -o faulthandler_timeout=3600 -s tests/images

bench: install  ## throughput, latency and CPU, beside a hand-written floor
	@$(BIN)/faust-ledger bench

install: $(STAMP)  ## the environment alone, in .venv

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --config-settings editable_mode=compat --editable '.[stack,api,bench,reports,test]'
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory lint-docker

lint-docker: install  ## what is in docker/: the image's recipe, compose files, manifests, scripts
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/shellcheck $(shell find docker tests/images -name '*.sh') .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose*.yaml
	@if ! test -x $(BIN)/docker-compose; then \
	  echo "Compose files are judged by their schema alone: Compose's package is for Linux on x86-64"; \
	else for files in docker/compose.yaml docker/compose.three-centres.yaml \
	    "docker/compose.yaml --file docker/compose.oracle.yaml"; do \
	  echo $(BIN)/docker-compose --file $$files config --quiet; \
	  $(BIN)/docker-compose --file $$files config --quiet || exit 1; done; fi
	$(BIN)/kubernetes-validate --quiet --strict docker/kubernetes/*.yaml

lock: ## constraints.txt from what setup.cfg allows today
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[stack,api,bench,reports,test]'
	build/lock/bin/pip freeze --exclude faust-ledger > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
