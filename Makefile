# SPDX-License-Identifier: MIT
# Strata's verbs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down test check vm nix chaos fuzz soak fmt docs bench scaling lock deb clean

PYTHON := .venv/bin/python

help: ## list these verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

up: ## install what is missing, start Strata, and say what to try next
	@scripts/bootstrap run
	@.venv/bin/strata-ctl up

down: ## stop Strata and leave nothing behind
	@if [ -x .venv/bin/strata-ctl ]; then .venv/bin/strata-ctl down; \
	else echo "nothing to stop from here: .venv is missing (make up makes it)"; fi

test: ## install what is missing, then lint, types and every test that this machine can run
	@scripts/bootstrap test
	@scripts/modern-tree || echo "going on without it; the closing summary names what was not proven" >&2
	@scripts/vm-image || echo "going on without it; the closing summary names what was not proven" >&2
	@$(MAKE) --no-print-directory _lint
	@$(PYTHON) tests/tracks.py

check: ## the quick part of test: lint, types and the pure ring
	@scripts/bootstrap test
	@$(MAKE) --no-print-directory _lint
	@$(PYTHON) -m pytest tests/pure

vm: ## the tests on a virtual machine, the long ones too
	@scripts/bootstrap test
	@scripts/vm-image
	@STRATA_VM=long $(PYTHON) -m pytest tests/vm

nix: ## the flake and the NixOS module; NIXPKGS=DIR: on that checkout of nixpkgs as well
	@scripts/bootstrap test
	@$(PYTHON) -m pytest tests/nix --timeout 600

chaos: ## break a Strata a thousand times; STEPS=N SEED=N
	@scripts/bootstrap test
	@cd tests/chaos && ../../$(PYTHON) chaos.py --steps $(or $(STEPS),1000) --seed $(or $(SEED),1)

fuzz: ## fuzz what reads foreign bytes, each for an hour; SECONDS=N TARGET=NAME
	@scripts/bootstrap test
	@cd tests/fuzz && ../../$(PYTHON) driver.py $(or $(TARGET),--all) --seconds $(or $(SECONDS),3600)

soak: ## an hour of mixed load, in which nothing may grow; MINUTES=N
	@scripts/bootstrap bench
	@$(PYTHON) tests/soak/driver.py --minutes $(or $(MINUTES),60)

fmt: ## put the source into its one format
	@scripts/bootstrap test
	@$(PYTHON) -m ruff check --fix --quiet .
	@$(PYTHON) -m ruff format --quiet .

docs: ## write the generated parts of docs/ and of the NixOS module anew
	@scripts/bootstrap test
	@$(PYTHON) docs/generate.py
	@$(PYTHON) nixos/generate.py
	@if command -v nix-instantiate >/dev/null; then $(PYTHON) nixos/document.py; \
	else echo "nixos/OPTIONS.md is left as it is: nix-instantiate is missing (apt-get install nix-bin)" >&2; fi

bench: ## measure, beside peers in the same run
	@scripts/bootstrap bench
	@scripts/bench-peers || echo "going on without some peers; the table names them" >&2
	@$(PYTHON) -m benchmarks

scaling: ## measure 1 to 500 sessions and services
	@scripts/bootstrap bench
	@$(PYTHON) -m benchmarks.scaling

lock: ## resolve the dependencies anew (scripts/lock --upgrade for newer ones)
	@scripts/lock

deb: ## build the Debian package for this machine's release into dist/
	@scripts/bootstrap run
	@scripts/deb

clean: down ## stop Strata and remove all that was installed or built here
	@rm -rf .venv .cache tests/fuzz/.work tests/fuzz/crashes build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: _lint
_lint:
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --quiet --check .
	@$(PYTHON) -m mypy --no-error-summary
