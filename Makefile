# `make` lists the targets. Each target sets up what it needs, once.

VENV    := .venv
PYTHON  := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-is-set-up
TOOLS   := $(VENV)/.tools-are-set-up
CHECKOV := .venv-checkov/.made
BUILDER := .venv-dist/.made
SITE    := .venv-site/.made
PACKAGE := .venv-package
ARGS    ?=
# Libraries that the benchmarks compare with. Their dependencies conflict with ours, so each has its own environment.
PEERS   := evidently nannyml alibi_detect
SERVERS := mlserver bentoml ray

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPATH := $(CURDIR)/include$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(RUNTIME) ## set up .venv from the lock, if not done yet

.PHONY: demo
demo: $(RUNTIME) ## run the demo on this machine, with comments (ARGS=--exit stops it afterwards)
	@$(VENV)/bin/homeostat demo $(ARGS)

.PHONY: up
up: $(RUNTIME) ## run MLflow, Airflow and the gateway on this machine until Ctrl-C
	@$(VENV)/bin/homeostat up $(ARGS)

# Tests that share a server stay in one worker: tests/distribution.py.
TEST_WORKERS := -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: test
test: $(TOOLS) $(CHECKOV) $(SITE) ## run the tests in two processes (ARGS="-k gate" selects, ARGS="-n 0" uses one process)
	@infra/setup/optional.sh
	$(PYTHON) -m pytest $(TEST_WORKERS) $(ARGS)

.PHONY: quick
quick: $(TOOLS) ## run the quick tests: pure decisions, and one test of each adapter (2 minutes)
	$(PYTHON) -m pytest $(TEST_WORKERS) -m quick $(ARGS)

.PHONY: docs
docs: $(RUNTIME) $(SITE) ## build the documentation's site into site/, and check its links; open site/index.html
	NO_MKDOCS_2_WARNING=1 HOMEOSTAT_PYTHON=$(PYTHON) .venv-site/bin/mkdocs build --quiet --clean

.PHONY: test-aws
test-aws: $(TOOLS) $(CHECKOV) ## run only the AWS tests: Terraform applied to moto, then a retrain end to end
	@infra/setup/optional.sh
	$(PYTHON) -m pytest tests/aws $(ARGS)

.PHONY: nightly
nightly: $(TOOLS) $(CHECKOV) $(SITE) ## run 100,000 random rollout steps, then all tests with coverage
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
	.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet $(ARGS) infra/package/requirements.in -o infra/package/requirements.txt
	.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--quiet $(ARGS) infra/site/requirements.in -o infra/site/requirements.txt
	for peer in $(PEERS) $(SERVERS); do \
		.venv-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
			--quiet $(ARGS) benchmarks/peers/$$peer.in -o benchmarks/peers/$$peer.txt || exit 1; \
	done

.PHONY: dist
dist: $(BUILDER) ## build the wheel and the sdist into dist/, and check them
	rm -rf build dist  # setuptools would put what lies in build/ into the wheel
	.venv-dist/bin/python -m build --no-isolation --outdir dist .
	.venv-dist/bin/twine check --strict dist/*
	.venv-dist/bin/check-wheel-contents dist/*.whl
	rm -rf build

# What the package's users do: a virtualenv with Airflow alone, and then what docs/existing-airflow.md says.
.PHONY: test-package
test-package: $(TOOLS) dist ## follow docs/existing-airflow.md with the wheel, up to a champion (10 to 20 minutes)
	rm -rf $(PACKAGE) && $(PYTHON) -m venv $(PACKAGE)
	sed -E 's/^([[:alnum:]_.-]+)\[[^]]*\]==/\1==/' requirements.txt > $(PACKAGE)/constraints.txt
	$(PACKAGE)/bin/python -I -m pip install --quiet --constraint $(PACKAGE)/constraints.txt apache-airflow
	HOMEOSTAT_AIRFLOW_VENV=$(CURDIR)/$(PACKAGE) HOMEOSTAT_PACKAGE_WHEEL=$$(echo $(CURDIR)/dist/*.whl) \
		$(PYTHON) -m pytest tests/package/test_image_pages.py $(ARGS)
	HOMEOSTAT_PACKAGE_VENV=$(CURDIR)/$(PACKAGE) HOMEOSTAT_PACKAGE_WHEEL=$$(echo $(CURDIR)/dist/*.whl) \
		$(PYTHON) -m pytest tests/package $(ARGS)

# Not with our lock: with the ends of the ranges that the package states. `make nightly` does not include it.
.PHONY: test-matrix
test-matrix: ## try the lowest and newest versions of the ranges on each Python here (ARGS=3.12 for one; 5 minutes each)
	@test -x .venv-lock/bin/uv || { python3 -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	infra/package/try_versions.sh .venv-lock/bin/uv $(ARGS)

# Root, apt and a Docker daemon of its own. Images and downloads are kept in the folder; delete it to start from nothing.
COMPOSE_FOLDER ?= $(HOME)/.cache/homeostat-compose
.PHONY: test-compose
test-compose: $(TOOLS) ## start docker-compose.yml for real and break it (10 to 35 minutes; root and apt)
	HOMEOSTAT_COMPOSE_FOLDER=$(COMPOSE_FOLDER) $(PYTHON) -m pytest tests/compose/test_started_stack.py -x -v --durations=0 $(ARGS)

.PHONY: env
env: ## write the secrets for docker-compose.yml into .env; keeps existing ones
	@python3 infra/compose/make_env.py .env

.PHONY: bench
bench: $(TOOLS) $(PEERS:%=.venv-bench/%/.made) ## run the benchmarks, also of comparable libraries (ARGS=--write updates benchmarks/*.md)
	@export PYTHONPATH=$(PYTHONPATH):tests; for script in drift calibration rollout gateway rollback lambda_cold_start core_import; do \
		test ! -f benchmarks/$$script.py || $(PYTHON) benchmarks/$$script.py $(ARGS) || exit 1; \
	done

.PHONY: bench-servers
bench-servers: $(TOOLS) $(SERVERS:%=.venv-bench/%/.made) ## compare the gateway with MLServer, BentoML and Ray Serve (15 minutes)
	$(PYTHON) benchmarks/serving_peers.py $(ARGS)

.PHONY: clean
clean: ## remove the virtualenvs, caches and local state (.homeostat); not .env
	rm -rf $(VENV) .venv-lock .venv-bench .venv-checkov .venv-dist .venv-versions .venv-site $(PACKAGE) build dist site .homeostat .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# An interrupted setup leaves .unfinished; the next one starts over.
ifneq ($(wildcard $(VENV)/.unfinished),)
.PHONY: $(VENV)/.made
endif
$(VENV)/.made: infra/setup/find_python.sh
	@if [ -e $(VENV)/.unfinished ] || ! $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		python="$$(infra/setup/find_python.sh)" || exit 1; \
		echo "Creating $(VENV) with $$python"; \
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
	@echo "To find the homeostat command in this terminal: . $(VENV)/bin/activate"

# alibi-detect wants NumPy 1, which has no wheels for Python 3.13.
.venv-bench/%/.made: benchmarks/peers/%.txt | $(VENV)/.made
	@for python in $(PYTHON) python3.11 python3.12; do \
		"$$python" -c 'import sys, venv; sys.exit(sys.version_info[:2] > (3, 12))' 2>/dev/null && break; \
		python=; \
	done; \
	test -n "$$python" || { echo "The compared libraries need Python 3.11 or 3.12: install one of them" >&2; exit 1; }; \
	echo "Creating .venv-bench/$* with $$python: one to two minutes"; \
	rm -rf .venv-bench/$* && "$$python" -m venv .venv-bench/$*
	.venv-bench/$*/bin/python -m pip install --no-deps --quiet -r $<
	.venv-bench/$*/bin/python -I -m pip check
	@touch $@

# `-I -m pip check`: PYTHONPATH would show pip the metadata that setup leaves in include/.
# checkov pins other versions than Airflow, so it has its own environment.
$(CHECKOV): infra/terraform/checkov.txt | $(VENV)/.made
	@echo "Creating .venv-checkov: half a minute"
	@rm -rf .venv-checkov && $(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/python -m pip install --no-deps --quiet -r $<
	.venv-checkov/bin/python -I -m pip check
	@touch $@

$(BUILDER): infra/package/requirements.txt | $(VENV)/.made
	@rm -rf .venv-dist && $(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --no-deps --quiet -r $<
	.venv-dist/bin/python -I -m pip check
	@touch $@

$(SITE): infra/site/requirements.txt | $(VENV)/.made
	@rm -rf .venv-site && $(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --no-deps --quiet -r $<
	.venv-site/bin/python -I -m pip check
	@touch $@

$(TOOLS): $(RUNTIME) requirements-dev.txt
	@echo "Installing requirements-dev.txt: packages for tests and linters"
	@touch $(VENV)/.unfinished
	$(PYTHON) -m pip install --no-deps -r requirements-dev.txt
	$(PYTHON) -m pip check
	@rm -f $(VENV)/.unfinished
	@touch $@
