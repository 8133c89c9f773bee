# All there is to do here. `make serve` and `make test` are enough to begin with.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Installed before everything else, so that no resolver picks another build. With a GPU, see the README.
TORCH ?= torch==2.13.0
TORCH_PIP_ARGS ?=
BIN := .venv/bin
# What compiles the kernels: the system's compiler, or else one that pip brings.
COMPILER := $(shell command -v $(CC))
ZIG := $(abspath $(BIN))/python -m ziglang cc -target $(shell uname -m)-linux-gnu
BUILD = $(if $(COMPILER),,CC="$(ZIG)" LDSHARED="$(ZIG) -shared")
# Each of two test processes has one core; more threads would only wait for each other.
TEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

.PHONY: serve test test-all test-docker check format bench-train bench-decode

serve: .venv/installed  ## start the service with the model in the box on NMT_HOST:NMT_PORT (127.0.0.1:8000)
	@exec $(BIN)/nmt serve

test: .venv/installed  ## the fast tests
	$(TEST) -m "not slow and not docker"

test-all: .venv/installed  ## the long ones as well
	$(TEST) -m "not docker"

test-docker: .venv/installed  ## build and start the image with a real engine, and ask it for a translation
	PYTHON=$(abspath $(BIN))/python docker/test.sh

bench-train: .venv/installed  ## how fast training is; PEERS=FOLDER measures JoeyNMT in turn
	PYTHONPATH=tests/benchmarks $(BIN)/python tests/benchmarks/train.py

bench-decode: .venv/installed  ## how fast decoding is; PEERS=FOLDER measures JoeyNMT and CTranslate2 in turn
	PYTHONPATH=tests/benchmarks:tests/system $(BIN)/python tests/benchmarks/decode.py

check: .venv/installed  ## style, types, import rules, and what the documents promise
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_docs.py

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml setup.py requirements.lock $(wildcard nmt/kernels/*.[ch])
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(TORCH_PIP_ARGS) "$(TORCH)"
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(if $(COMPILER),,$(BIN)/pip install --quiet ziglang)
	$(BUILD) $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
