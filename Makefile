# Two commands: `make demo` and `make test`. Each sets up what it needs: a virtual environment in .venv with the
# locked dependencies, and the Kubernetes binaries, which all checkouts of a user share.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup binaries demo demo-stop test lint fast format lock clean

# Neither a user's Python path nor his pip settings for other environments have a say in ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11)
BIN := .venv/bin
# Its name holds the folder's: an environment does not survive a move.
PLACE := $(shell pwd | cksum | cut -d' ' -f1)
LOCKED := .venv/locked-$(PLACE)
INSTALLED := .venv/installed-$(PLACE)
PIP := $(BIN)/python -m pip install --quiet --no-deps --no-compile

help: ## list the targets
	@echo "make TARGET, where TARGET is:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 14

demo: setup ## hub, three members and the operator on this machine; real pods; KEEP=1 leaves it running
	@$(BIN)/python -m examples.demo

demo-stop: setup ## stop what KEEP=1 left running
	@$(BIN)/python -m examples.demo stop

test: lint binaries ## everything that must hold: lint, types, import contracts, all tests
	$(BIN)/pytest

fast: setup ## the tests that need no control plane
	$(BIN)/pytest -m "not planes"

lint: setup ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pip check  # whether requirements.lock holds what pyproject.toml asks for

format: setup ## let ruff order imports and format
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

setup: $(INSTALLED) ## only the virtual environment

binaries: setup ## only the Kubernetes binaries; the first time on a machine this takes about 6 minutes
	@$(BIN)/devcluster build >/dev/null

$(LOCKED): requirements.lock
	@set -e; began=$$(date +%s); \
	for name in $(PYTHONS); do \
	  python=$$($$name -c 'import sys; sys.version_info < (3, 11) or print(sys._base_executable)' 2>/dev/null) || continue; \
	  [ -z "$$python" ] || break; \
	done; \
	[ -n "$$python" ] || { echo "No Python 3.11 or newer found; name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
	echo "Setting up .venv with the locked packages; the first time this takes about a minute."; \
	"$$python" -m venv --clear .venv || \
	  { echo "$$python lacks venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	$(PIP) --require-hashes --only-binary :all: -r requirements.lock; \
	touch $@; echo ".venv is ready after $$(($$(date +%s) - began)) s."

$(INSTALLED): $(LOCKED) pyproject.toml devcluster/pyproject.toml
	@$(PIP) --no-index --no-build-isolation -e . -e devcluster
	@touch $@

lock: setup ## choose the newest versions that pyproject.toml allows and write requirements.lock
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m venv "$$folder"; \
	"$$folder/bin/pip" install --quiet 'pip-tools>=7.5,<8'; \
	CUSTOM_COMPILE_COMMAND="make lock" "$$folder/bin/pip-compile" --quiet --upgrade --extra dev --generate-hashes \
	  --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file requirements.lock pyproject.toml

clean: ## remove what the other targets made in this folder
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
