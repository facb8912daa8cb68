# `make` lists the targets. Nothing has to be set up first: what a target needs is built by it, once.

VENV    := .venv
PYTHON  := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-is-set-up
TOOLS   := $(VENV)/.tools-are-set-up
CHECKOV := .venv-checkov/.made
ARGS    ?=
# What the benchmarks measure us against; none imports beside our own packages, so each has an environment.
PEERS   := evidently nannyml alibi_detect

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPATH := $(CURDIR)/include$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(RUNTIME) ## set up .venv from the lock; a second time does nothing

.PHONY: demo
demo: $(RUNTIME) ## run the whole loop on this machine with comments (ARGS=--exit stops it afterwards)
	@$(VENV)/bin/homeostat demo $(ARGS)

.PHONY: up
up: $(RUNTIME) ## MLflow, Airflow and the gateway on this machine until Ctrl-C
	@$(VENV)/bin/homeostat up $(ARGS)

# Tests that share a server stay in one worker, see tests/distribution.py.
TEST_WORKERS := -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: test
test: $(TOOLS) $(CHECKOV) ## run the tests in two processes (ARGS="-k gate" selects, ARGS="-n 0" uses one process)
	@infra/setup/optional.sh
	$(PYTHON) -m pytest $(TEST_WORKERS) $(ARGS)

.PHONY: quick
quick: $(TOOLS) ## in two minutes: the pure decisions, and one test of each adapter
	$(PYTHON) -m pytest $(TEST_WORKERS) -m quick $(ARGS)

.PHONY: test-aws
test-aws: $(TOOLS) $(CHECKOV) ## of the tests those of the AWS half: Terraform applied, the loop end to end
	@infra/setup/optional.sh
	$(PYTHON) -m pytest tests/aws $(ARGS)

.PHONY: nightly
nightly: $(TOOLS) $(CHECKOV) ## 100,000 random steps of rollouts, then the tests with their coverage
	HYPOTHESIS_PROFILE=nightly $(PYTHON) -m pytest tests/core/rollout/test_rollout_machine.py
	$(PYTHON) -m pytest $(TEST_WORKERS) --cov --cov-report=term:skip-covered $(ARGS)

.PHONY: lint
lint: $(TOOLS) ## ruff, mypy, import contracts, and terraform fmt if terraform is installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --config-file tests/mypy.ini tests
	$(VENV)/bin/lint-imports
	! command -v terraform >/dev/null || terraform fmt -check -diff -recursive infra/terraform

.PHONY: lock
lock: ## compile every .in into its lock (ARGS=--upgrade for newer versions)
	@test -x .venv-lock/bin/uv || { python3 -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet $(ARGS) requirements.in -o requirements.txt
	.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet $(ARGS) requirements-dev.in -o requirements-dev.txt
	.venv-lock/bin/uv pip compile --python-version 3.12 --python-platform x86_64-manylinux_2_28 --no-header \
		--no-emit-index-url --quiet $(ARGS) -c requirements.txt infra/aws_lambda/requirements.in -o infra/aws_lambda/requirements.txt
	.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet $(ARGS) infra/terraform/checkov.in -o infra/terraform/checkov.txt
	for peer in $(PEERS); do \
		.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
			--quiet $(ARGS) benchmarks/peers/$$peer.in -o benchmarks/peers/$$peer.txt || exit 1; \
	done

.PHONY: env
env: ## write the secrets that docker-compose.yml needs into .env; keeps those that are there
	@python3 infra/compose/make_env.py .env

.PHONY: bench
bench: $(TOOLS) $(PEERS:%=.venv-bench/%/.made) ## measure checks, rollouts, the gateway and the Lambda function beside peers (ARGS=--write updates benchmarks/*.md)
	@export PYTHONPATH=$(PYTHONPATH):tests:tests/aws_lambda; for script in drift calibration rollout gateway rollback detector; do \
		test ! -f benchmarks/$$script.py || $(PYTHON) benchmarks/$$script.py $(ARGS) || exit 1; \
	done

.PHONY: clean
clean: ## remove the virtualenvs, caches and local state (.homeostat); not .env
	rm -rf $(VENV) .venv-lock .venv-bench .venv-checkov .homeostat .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# A set-up that was interrupted leaves .unfinished behind and is then done anew from nothing.
ifneq ($(wildcard $(VENV)/.unfinished),)
.PHONY: $(VENV)/.made
endif
$(VENV)/.made: infra/setup/find_python.sh
	@if [ -e $(VENV)/.unfinished ] || ! $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		python="$$(infra/setup/find_python.sh)" || exit 1; \
		echo "Making $(VENV) with $$python"; \
		rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.unfinished && \
		"$$python" -m venv $(VENV) && rm $(VENV)/.unfinished; \
	fi
	@touch $@

$(RUNTIME): $(VENV)/.made requirements.txt pyproject.toml
	@echo "Installing requirements.txt: about 200 packages, two to three minutes the first time"
	@touch $(VENV)/.unfinished
	$(PYTHON) -m pip install --no-deps -r requirements.txt
	$(PYTHON) -m pip install --no-deps --no-build-isolation --quiet --editable .
	$(PYTHON) -m pip check
	@rm -f $(VENV)/.unfinished
	@touch $@

# alibi-detect wants NumPy 1, which has no wheels for Python 3.13.
.venv-bench/%/.made: benchmarks/peers/%.txt | $(VENV)/.made
	@for python in $(PYTHON) python3.11 python3.12; do \
		"$$python" -c 'import sys, venv; sys.exit(sys.version_info[:2] > (3, 12))' 2>/dev/null && break; \
		python=; \
	done; \
	test -n "$$python" || { echo "The peers need Python 3.11 or 3.12, and none was found" >&2; exit 1; }; \
	echo "Making .venv-bench/$* with $$python: a minute or two the first time"; \
	rm -rf .venv-bench/$* && "$$python" -m venv .venv-bench/$*
	.venv-bench/$*/bin/python -m pip install --no-deps --quiet -r $<
	.venv-bench/$*/bin/python -m pip check
	@touch $@

# What checks infra/terraform pins other versions than Airflow does.
$(CHECKOV): infra/terraform/checkov.txt | $(VENV)/.made
	@echo "Making .venv-checkov: half a minute the first time"
	@rm -rf .venv-checkov && $(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/python -m pip install --no-deps --quiet -r $<
	.venv-checkov/bin/python -m pip check
	@touch $@

$(TOOLS): $(RUNTIME) requirements-dev.txt
	@echo "Installing requirements-dev.txt: what tests and linters need besides"
	@touch $(VENV)/.unfinished
	$(PYTHON) -m pip install --no-deps -r requirements-dev.txt
	$(PYTHON) -m pip check
	@rm -f $(VENV)/.unfinished
	@touch $@
