# `make help` lists what there is. Nothing here needs more than Python 3.11, git and, for test-servers, Node.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

# The first of these that is 3.11 or later and can make environments; a pyenv shim of an unselected version does not answer.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	if $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)
BIN := .venv/bin
WORKERS ?= 2
ARGS ?=
INSTALL := $(BIN)/python requirements/install.py
POSTGRES := requirements/install.py requirements/postgres.txt requirements/postgres-binaries.txt
# Files that are made from the code and committed; `make docs` writes them, `make check` refuses stale ones.
GENERATED := configuration openapi providers costs refusals access
# From npm: a real Bluesky server, and the command line that people already use.
PDS := tests/servers/pds
CLI := tests/servers/cli
S3 := tests/servers/s3
# The SDK is not in every registry, so no lock file can pin its hash, and its test is skipped where it is missing.
SDK := tests/servers/sdk
SDK_PACKAGE := @postiz/node@1.0.8
CODE := shared functions layers local tests benchmarks
# The SAM CLI that is installed, or one in an environment of its own; it pins other versions than Roost does.
SAM := $(if $(shell command -v sam),,.venv-sam/.sam)
# The emulator runs functions by its own interpreter, so it needs the one of Lambda. Looked up only where it is used.
# A pyenv shim answers for the selected version alone, so those that pyenv holds are asked themselves.
RUNTIME := 3.13
PYTHON_RUNTIME = $(shell for p in python$(RUNTIME) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(RUNTIME).*/bin/python$(RUNTIME); do \
	if $$p -c 'import ensurepip, venv' >/dev/null 2>&1; then $$p -c 'import sys; print(sys.executable)'; break; fi; done)

.PHONY: help setup run demo test test-broad test-servers test-deploy check audit fmt docs bench build deploy super-admin rotate-keys clean new-provider

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS=$$'\t' read -r name what; do printf '  %-14s %s\n' "$$name" "$$what"; done

run: .venv/.local ## Start the whole system on this machine: http://127.0.0.1:3000 (PORT, ROOST_HOME)
	@$(BIN)/python -m local $(ARGS)

demo: .venv/.local ## Publish a thread to two channels and say how late it was; with URL=https://... CHANNEL=... one post by that deployment
	@$(BIN)/python -m local.demo $(if $(URL),--url "$(URL)") $(if $(CHANNEL),--channel "$(CHANNEL)") $(ARGS)

test: .venv/.dev ## Run the tests (ARGS="tests/shared/posts -k thread" for some of them)
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not broad and not servers and not deployed" $(ARGS)

test-broad: .venv/.dev ## Run the broad tests: every fault at every kind of server, every wrong answer, growth (minutes)
	@$(BIN)/python -m pytest -n $(WORKERS) -m broad $(ARGS)

test-servers: .venv/.dev $(PDS)/node_modules/.package-lock.json $(CLI)/node_modules/.package-lock.json $(S3)/node_modules/.package-lock.json $(SDK)/node_modules ## Run the tests against servers and clients that other projects publish (needs Node)
	@$(BIN)/python -m pytest -m servers $(ARGS)

test-deploy: .venv-emulator/.emulator .venv/.dev $(SAM) ## Deploy what is built onto an emulator of AWS and use it (needs Python 3.13; no Docker, no account)
	@$(BIN)/python -m layers.build
	@$(BIN)/python -m layers.build --host
	@$(BIN)/python -m pytest -m deployed -rs $(ARGS)

check: .venv/.dev ## All that must hold: format, lint, types, layers, template, packages, generated files, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml
	@$(MAKE) audit
	@for name in $(GENERATED); do echo "$(BIN)/python -m local.docs.$$name --check"; $(BIN)/python -m local.docs.$$name --check; done
	@$(MAKE) test
	@$(MAKE) test-broad

audit: ## Compare the locked packages with published vulnerabilities (says so where that cannot be asked)
	@if $(MAKE) .venv-audit/.audit; then .venv-audit/bin/python requirements/audit.py; \
	else echo "Skipped: known vulnerabilities were not compared, since pip-audit could not be installed."; fi

bench: .venv/.dev ## Measure: benchmarks/results.json and a table
	@$(BIN)/python -m benchmarks $(ARGS)

build: .venv/.local ## Make what Lambda runs, below build/, without Docker
	@$(BIN)/python -m layers.build

rotate-keys: .venv/.local ## Sign sessions with a new key and seal stored secrets again: make rotate-keys stage=dev
	@$(BIN)/python -m layers.operate rotate-keys $(stage)

clean: ## Remove what was built and cached; .roost (posts, media) and .venv stay
	@rm -rf build build-host .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

new-provider: .venv/.dev ## Begin a provider: make new-provider slug=example
	@$(BIN)/python -m local.new_provider $(slug)

setup: .venv/.dev ## Make the environment without running anything

fmt: .venv/.dev ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.dev ## Write the generated files again
	@for name in $(GENERATED); do echo "$(BIN)/python -m local.docs.$$name"; $(BIN)/python -m local.docs.$$name; done

deploy: build $(SAM) ## Deploy a stage: make deploy stage=dev (needs an AWS account; ARGS="Name=Value" replaces a parameter)
	@$(BIN)/python -m layers.deploy $(stage) $(ARGS)

super-admin: .venv/.local ## Activate an account and make it the operator's: make super-admin email=you@example.com [stage=dev]
	@$(BIN)/python -m layers.operate super-admin "$(email)" $(stage)

build-%: # `sam build` asks for its artifacts by these names
	@$(BIN)/python -m layers.build $* $(ARTIFACTS_DIR)

# Environments. A stamp is older than its lock file exactly when the lock file has changed since.
# `make` sees a link to a Python that is gone as missing, but keeps one that is too old or was made for another folder.
VENV_FAULT := $(if $(wildcard .venv/pyvenv.cfg),$(shell \
	if ! .venv/bin/python -c '' 2>/dev/null; then echo "its Python is gone"; \
	elif ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then echo "its Python is older than 3.11"; \
	elif [ ! -L .venv ] && ! .venv/bin/python -c 'import os, sys; sys.exit(not os.path.samefile(sys.prefix, ".venv"))'; then echo "it was made for another folder"; \
	elif [ ! -L .venv ] && ! grep -qsF "$(CURDIR)/.venv" .venv/bin/activate; then echo "it was made for another folder"; fi))

.venv/bin/python: $(if $(VENV_FAULT),FORCE)
	@test -n "$(PYTHON)" || { echo "Roost needs Python 3.11 or later with venv (on Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@if [ -e .venv ] || [ -L .venv ]; then echo "Replacing .venv: $(or $(VENV_FAULT),it is not complete)."; rm -rf .venv; fi
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) requirements/environment.py .venv

.PHONY: FORCE
FORCE:

.venv/.local: requirements/local.txt $(POSTGRES) $(if $(VENV_FAULT),FORCE) | .venv/bin/python
	@$(INSTALL) local
	@touch $@

.venv/.dev: requirements/dev.txt $(POSTGRES) $(if $(VENV_FAULT),FORCE) | .venv/bin/python   # holds everything that local.txt does
	@$(INSTALL) dev
	@touch .venv/.local $@

.venv-sam/.sam: requirements/sam.txt
	@test -n "$(PYTHON)" || { echo "The SAM CLI needs Python 3.11 or later with venv." >&2; exit 1; }
	@echo "Installing the SAM CLI into .venv-sam"
	@$(PYTHON) requirements/environment.py .venv-sam
	@.venv-sam/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r $<
	@touch $@

.venv-audit/.audit: requirements/audit.txt
	@test -n "$(PYTHON)" || { echo "make audit needs Python 3.11 or later with venv." >&2; exit 1; }
	@echo "Installing pip-audit into .venv-audit"
	@$(PYTHON) requirements/environment.py .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r $<
	@touch $@

.venv-emulator/.emulator: requirements/emulator.txt
	@test -n "$(PYTHON_RUNTIME)" || { echo "make test-deploy needs Python $(RUNTIME), the version that Lambda runs: install python$(RUNTIME) with venv and try again." >&2; exit 1; }
	@echo "Installing the emulator into .venv-emulator"
	@$(PYTHON_RUNTIME) requirements/environment.py .venv-emulator
	@.venv-emulator/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r $<
	@touch $@

$(SDK)/node_modules: $(SDK)/package.json
	@npm install --prefix $(SDK) --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=silent $(SDK_PACKAGE) || echo "$(SDK_PACKAGE) could not be installed; where the registry does not have it, its test is skipped. Remove $@ to try again."
	@mkdir -p $@
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "test-servers needs Node 20 or later." >&2; exit 1; }
	@echo "Installing $<"
	@npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@
