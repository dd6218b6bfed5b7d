# Needs Python 3.11 or later, make and git; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.relay-setup
# What .venv was made from: the lock, the package, the kernel's source, and the folder (a moved .venv has wrong
# paths in its scripts).
WANTED = $$(cat requirements.lock pyproject.toml relay_core/kernel/scan.pyx relay_core/kernel/*.pxi | git hash-object --stdin) $(CURDIR)

# Bytecode halves the start-up of every process; a caller's setting must not switch it off.
unexport PYTHONDONTWRITEBYTECODE
# Another environment's modules must not leak into this one.
unexport PYTHONPATH
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup lock demo dev test check thorough wheel-check coverage format lint types definitions smoke chaos integration skew soak check-corpus real-feeds fuzz-api fuzz-documents fuzz-kernel explore scale bench bench-api bench-catalog bench-changes bench-channels bench-explain bench-formats bench-forms bench-hostile bench-hostile-requests bench-idle bench-lists bench-memory bench-overrides bench-pages bench-parts bench-pulls bench-proof bench-quick bench-rules bench-runs bench-webhooks profile runbook schema commands template screenshots mutants cluster audit figures clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 32

setup: ## Create or update .venv from requirements.lock
	@if [ "$$(cat $(STAMP) 2>/dev/null)" != "$(WANTED)" ] || ! $(BIN)/python -c '' 2>/dev/null; then \
	  $(MAKE) --no-print-directory .install; fi

.PHONY: .install
.install:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Relay needs Python 3.11 or later; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@rm -f $(STAMP)
	@grep -qs '^command = .* $(CURDIR)/$(VENV)$$' $(VENV)/pyvenv.cfg && $(BIN)/python -c '' 2>/dev/null \
	  || $(PYTHON) -m venv --clear $(CURDIR)/$(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  --requirement deploy/build.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps \
	  --no-build-isolation --config-setting editable_mode=compat --editable .
	@$(BIN)/python -m compileall -q relay_core relay_dagster scripts
	@$(BIN)/python -c 'from relay_core.report.html import load_templates; load_templates()'
	@printf '%s\n' "$(WANTED)" > $(STAMP)
	@echo "$(VENV) is ready"

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet

lock: setup ## Resolve pyproject.toml again, and write all lock files
	$(BIN)/$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(BIN)/$(COMPILE) --group build --constraint requirements.lock --output-file deploy/build.lock
	$(BIN)/$(COMPILE) pyproject.toml --extra postgres --constraint requirements.lock \
	  --output-file deploy/image.lock

demo: setup ## Run the sample tenant end to end on embedded AWS, and stop everything
	@$(BIN)/relay server demo

dev: setup ## Start the stack with Dagster's UI, and run it until Ctrl-C
	@$(BIN)/relay server dev

# Of the tests with stacks of real processes, those that take at most two minutes.
SELECTED := smoke or not (chaos or integration)

test: setup ## Run the quick tests: all except those listed in tests/conftest.py
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --without slow --without thorough

check: setup format lint types definitions ## Check a change: format, lint, types, definitions, tests, and real processes
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --without thorough -m '$(SELECTED)'

thorough: setup ## Run the tests that check leaves out because they take long; a change must pass both
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'thorough and ($(SELECTED))'

wheel-check: setup ## Build the wheel, install it outside of the repository, and try all commands; part of thorough
	@$(BIN)/python -m pytest -q tests/wheel

coverage: setup ## Run the tests of check and thorough, and list the branches that they miss
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m '$(SELECTED)' \
	  --cov --cov-report=term:skip-covered

format: setup
	@$(BIN)/ruff format --check --quiet .

lint: setup
	@$(BIN)/ruff check --quiet .

types: setup
	@$(BIN)/mypy --no-error-summary

# `dg` sends telemetry unless the dagster.yaml of DAGSTER_HOME turns it off.
definitions: setup ## Load the Dagster project as `dg check defs` does
	@home=$$(mktemp -d) && cp dagster.yaml $$home && \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) DAGSTER_HOME=$$home $(BIN)/dg check defs --no-check-yaml > $$home/out 2>&1 \
	  || { cat $$home/out; rm -r $$home; exit 1; }; rm -r $$home

# Needs Debian's chromium, nginx, openssh-server, postgresql and redis-server, and root, since sshd
# asks for another user's password for nobody else.
integration: setup ## Run the tests with real parts: demo, runbook, PostgreSQL, Chromium, nginx, sshd
	@$(BIN)/python -m pytest -q -m 'integration and not (chaos or smoke)'

smoke: setup ## Break the real stack in six ways, in less than 2 minutes; part of check
	@$(BIN)/python tests/integration/chaos.py --smoke

chaos: setup ## Break the real stack in every way of docs/RESILIENCE.md: REST=1 (without those of check), ONLY
	@$(BIN)/python tests/integration/chaos.py $(if $(REST),--rest) $(ONLY)

skew: setup ## Run another commit's processes beside this one's on one stack: BASE=<commit>
	@$(BIN)/python tests/integration/skew.py $(BASE)

soak: setup ## Run the stack for an hour, and plot the memory of its processes: MINUTES
	@$(BIN)/python tests/integration/soak.py $(if $(MINUTES),--minutes $(MINUTES))

check-corpus: setup ## Check the lists in tests/data/check_lists, and print how many proposals are right
	@$(BIN)/python scripts/check_corpus.py

real-feeds: setup ## Run the local runner over the feeds in RELAY_FEEDS_DIR (default ../shared/data)
	@$(BIN)/python scripts/real_feeds.py

fuzz-api: setup ## Fuzz the live API with its OpenAPI document: EXAMPLES, SEED, KEYS=tenant
	@$(BIN)/python tests/fuzzing/campaign.py $(if $(EXAMPLES),--examples $(EXAMPLES)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(KEYS),--keys $(KEYS))

fuzz-kernel: setup ## Read random feeds with the kernel and without it, and compare: MINUTES, SEED
	@$(BIN)/python tests/fuzzing/kernel_campaign.py $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(SEED),--seed $(SEED))

fuzz-documents: setup ## Fuzz the readers of JSON documents and XML for ten minutes: MINUTES, SEED
	@$(BIN)/python tests/fuzzing/documents.py $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(SEED),--seed $(SEED))

explore: setup ## Kill, cut off, and interrupt each process that changes runs, at every call: SEEDS, ONLY
	@$(BIN)/python tests/explorer/explore.py $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ONLY),--only $(ONLY))

bench-api: setup ## Measure the API with 200 pollers and 20 listers: SECONDS
	@$(BIN)/python -m benchmarks.api_bench $(if $(SECONDS),--seconds $(SECONDS))

bench-explain: setup ## Measure the time to explain a SKU of a large run: ROWS, SKUS
	@$(BIN)/python -m benchmarks.explain_bench $(if $(ROWS),--rows $(ROWS)) $(if $(SKUS),--skus $(SKUS))

bench-proof: setup ## Measure verify --newest and the doctor's hourly check: RUNS, TENANTS
	@$(BIN)/python -m benchmarks.proof_bench $(if $(RUNS),--runs $(RUNS)) $(if $(TENANTS),--tenants $(TENANTS))

bench-hostile-requests: setup ## Measure the cost of hostile requests for the API and for another caller
	@$(BIN)/python -m benchmarks.hostile_requests

bench-idle: setup ## Measure the CPU usage of the idle stack
	@$(BIN)/python -m benchmarks.idle_bench

bench-lists: setup ## Measure real price lists with number formats beside Polars: FEEDS_DIR (default ../shared/data), ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.lists_bench $(if $(FEEDS_DIR),--feeds $(abspath $(FEEDS_DIR))) \
	  $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-memory: setup ## Measure the largest permitted feeds on machines with 2 and 4 GiB; needs root: ONLY
	@$(BIN)/python -m benchmarks.memory_bench $(if $(ONLY),--only "$(ONLY)")

# make bench PROCESSES=1,50k,1m SIZES=0 VARIANTS=0 GIGABYTE=0 ROUNDS=3 times whole processes alone.
bench: setup ## Measure whole processes, and then the work alone: ROUNDS, PROCESSES, DAGSTER, SIZES, VARIANTS, GIGABYTE
	@$(BIN)/python -m benchmarks.process_bench $(if $(PROCESSES),--sizes $(PROCESSES)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(DAGSTER),--dagster $(DAGSTER))
	@$(BIN)/python -m benchmarks.engine_bench $(if $(SIZES),--sizes $(SIZES)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(VARIANTS),--variants $(VARIANTS)) \
	  $(if $(GIGABYTE),--gigabyte $(GIGABYTE))

bench-changes: setup ## Measure the comparison of a feed with the published feed: ROUNDS
	@$(BIN)/python -m benchmarks.changes_bench $(if $(ROUNDS),--rounds $(ROUNDS))

bench-channels: setup ## Measure five channels beside one feed, and the changes of a large file: ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.channels_bench $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-formats: setup ## Measure each feed format beside a CSV file with the same rows: ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.formats_bench $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS))

bench-catalog: setup ## Measure a catalog by GTIN and MPN beside SKU maps: ROWS, PRODUCTS, ROUNDS
	@$(BIN)/python -m benchmarks.catalog_bench $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(PRODUCTS),--products $(PRODUCTS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-forms: setup ## Measure the cost of the options for suppliers' files: ROWS, ROUNDS, BEFORE
	@$(BIN)/python -m benchmarks.forms_bench $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(BEFORE),--before $(abspath $(BEFORE)))

bench-hostile: setup ## Measure hostile feeds of all formats beside clean feeds: ROUNDS, MEGABYTES, ONLY
	@$(BIN)/python -m benchmarks.hostile_feeds $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(MEGABYTES),--megabytes $(MEGABYTES)) $(if $(ONLY),--only "$(ONLY)")

bench-overrides: setup ## Measure the cost of a quarantine and of overrides in a run: ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.overrides_bench $(if $(ROWS),--rows $(ROWS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS))

bench-quick: setup ## Measure the CPU time of a run of 50,000 rows, relative to constant work: ROUNDS
	@$(BIN)/python -m benchmarks.constant_work $(if $(ROUNDS),--rounds $(ROUNDS))

bench-parts: setup ## Measure vendors of several files beside vendors of one: ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.parts_bench $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-pages: setup ## Measure the processor time and the bytes of the pages: ROUNDS
	@$(BIN)/python -m benchmarks.pages_bench $(if $(ROUNDS),--rounds $(ROUNDS))

bench-rules: setup ## Measure the cost of a tenant's own rules: ROWS, ROUNDS
	@$(BIN)/python -m benchmarks.rules_bench $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-runs: setup ## Measure a run on relay server dev, and beside an empty Dagster job: DEV_RUNS, RUNS, BURST
	@$(BIN)/python -m benchmarks.runs_bench $(if $(DEV_RUNS),--dev-runs $(DEV_RUNS)) \
	  $(if $(RUNS),--runs $(RUNS)) $(if $(BURST),--burst $(BURST))

bench-pulls: setup ## Measure the pulls of a thousand vendors at once, of 500 MB, and from hostile servers: VENDORS, MEGABYTES
	@$(BIN)/python -m benchmarks.pulls_bench $(if $(VENDORS),--vendors $(VENDORS)) \
	  $(if $(MEGABYTES),--megabytes $(MEGABYTES))

bench-webhooks: setup ## Measure the delivery of a thousand webhooks while one of ten receivers hangs: PROFILE=1
	@$(BIN)/python -m benchmarks.webhooks_bench $(if $(PROFILE),--profile)

scale: setup ## Measure ticks, lists, and waits with 100 to 10,000 tenants: SIZES
	@$(BIN)/python -m benchmarks.scale $(if $(SIZES),--sizes $(SIZES))

profile: setup ## Plot the time of a run of 5,000,000 rows: docs/profile-5m.svg
	@$(BIN)/python -m benchmarks.profile_run

runbook: setup ## Follow every procedure of docs/RUNBOOK.md on the real stack: DRILL=name for one
	@$(BIN)/python tests/runbook/rehearsal.py $(DRILL)

schema: setup ## Write the schemas of configs and of report.json in docs/ again
	@$(BIN)/python -m relay_dagster.http.config_schema > docs/config.schema.json
	@$(BIN)/python -m scripts.report_schema

commands: setup ## Write the reference of the commands in docs/CLI.md again
	@$(BIN)/python scripts/write_commands.py

template: setup ## Write the resources of `relay server bootstrap` in deploy/relay.yaml again
	@$(BIN)/python scripts/write_template.py

screenshots: setup ## Take the pictures in docs/pictures again, with Chromium: NAME=plots for one
	@$(BIN)/python tests/ui/screenshots.py $(NAME)

mutants: setup ## Change prices, guards, and states in one place at a time, and see that tests fail: SAMPLE, MODULES
	@$(BIN)/python scripts/mutants.py $(if $(SAMPLE),--sample $(SAMPLE)) $(MODULES)

cluster: setup ## Run on two machines with Celery, and kill one; needs redis-server, PostgreSQL, root
	@$(BIN)/python tests/cluster/rehearsal.py

audit: setup ## Write the image's bill of materials (out/sbom.cdx.json), and list known vulnerabilities
	@$(BIN)/python scripts/audit.py

figures: setup ## Measure the code: its lines, names, imports, calls, and time to load: ROUNDS
	@$(BIN)/python -W ignore -m benchmarks.figures $(if $(ROUNDS),--rounds $(ROUNDS))

clean: ## Remove the files of tools, except .venv
	@rm -rf build out .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info
