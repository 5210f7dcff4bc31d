# What a newcomer and CI call. Every target does the set-up it needs itself.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# A virtual environment or stamp that was begun but not finished is made again.
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
# cpu or gpu: which of the two builds of ONNX Runtime and FAISS is installed. One of them per virtual environment.
DEVICE ?= cpu
# Passed to pip, such as an index of CPU wheels of torch (CONTRIBUTING.md).
PIP_ARGS ?=
# Folder of your own images for the demo; empty: drawn ones.
IMAGES ?=
PORT ?= 8000
# Processes that run tests side by side; the tests of one file share what they prepare.
JOBS ?= 2

BIN := $(VENV)/bin
# Reaches the recipe through the environment, so that a path may hold spaces and quotes.
export IMAGES

APT_GET := $(if $(filter 0,$(shell id -u)),,sudo) DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq
define apt_install
{ echo "installing $(1) with apt-get"; $(APT_GET) update && $(APT_GET) install -y --no-install-recommends $(1) >/dev/null; }
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed-demo ## search drawn images, or your own with IMAGES=FOLDER, at http://127.0.0.1:8000 (PORT=...)
	@$(BIN)/aahr demo --port $(PORT) $(if $(IMAGES),--images "$$IMAGES")

.PHONY: test
test: lint redis chromium ## install everything that is needed, then run all checks and tests
	$(BIN)/pytest -n $(JOBS) --dist loadfile

.PHONY: nightly
nightly: lint redis chromium ## all tests in their large sizes: an hour
	FUZZ_EXAMPLES=1000 KILL_EVERY=1 $(BIN)/pytest -n $(JOBS) --dist loadfile -m "nightly or not nightly" --timeout 3600

.PHONY: lint
lint: $(VENV)/.installed-dev ## check style, types and who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(VENV)/.installed-dev ## bring the code into the one format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: smoke
smoke: $(BIN)/python ## build and start the containers, search through them, stop them
	$(BIN)/python docker/smoke

.PHONY: clean
clean: ## remove what the demo made; the virtual environment stays
	rm -rf var

# The tests start a Redis of their own; the demo's printed lines need curl.
.PHONY: redis
redis:
	@command -v redis-server >/dev/null && command -v curl >/dev/null || $(call apt_install,redis-server curl)

# What the page is tested in.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(call apt_install,chromium)

$(VENV)/.installed-demo: EXTRAS = $(DEVICE),train,demo
$(VENV)/.installed-dev: EXTRAS = $(DEVICE),train,dev
$(VENV)/.installed-demo $(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[$(EXTRAS)]' $(PIP_ARGS)
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(f"aahr needs Python 3.11 or newer, this is {sys.version.split()[0]}; name another one with PYTHON=" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call apt_install,python3-venv)
	$(PYTHON) -m venv $(VENV)
