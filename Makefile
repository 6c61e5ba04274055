# Two commands a newcomer needs: `make demo` and `make test`. Everything else is for people working on Greenroom.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

SHELL := bash
# Every stage ends with a line that says how long it took.
timed = @TIMEFORMAT='$(@F): %1R s'; time

.PHONY: help demo test lint format unit clean
help:
	@echo "make demo    set up everything and run the main job on the embedded AWS"
	@echo "make test    set up everything, run every gate of make lint, and every test"
	@echo "make lint    every gate: ruff, types (mypy --strict), imports (import-linter), dependencies (deptry),"
	@echo "             templates (cfn-lint), policies (the roles against AWS's own facts), page (deno check and lint);"
	@echo "             each is a target of its own"
	@echo "make unit    the tests of single parts: seconds, without a platform"
	@echo "make format  reformat the sources"
	@echo "make screenshots  take the page's pictures for the README, in Chromium"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Greenroom needs Python 3.11 or later: set PYTHON=/path/to/python3.11")'
	$(timed) { $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; }
	@touch $@

demo: $(STAMP)
	$(BIN)/greenroom demo

# The gates. .pre-commit-config.yaml runs these same targets.
GATES := ruff types imports dependencies templates policies page

.PHONY: $(GATES)
lint: $(STAMP)
	$(timed) $(MAKE) --no-print-directory --keep-going --jobs=2 $(GATES)

ruff: $(STAMP)
	$(timed) { $(BIN)/ruff check . && $(BIN)/ruff format --check .; }

types: $(STAMP)
	$(timed) $(BIN)/mypy

imports: $(STAMP)
	$(timed) $(BIN)/lint-imports --no-logo

# What tests and bench/ import is declared too; a tool that is only run, or that only src imports, is not "unused" there.
dependencies: $(STAMP)
	$(timed) { $(BIN)/deptry src && $(BIN)/deptry tests bench --exclude '$(VENV)' --ignore DEP002,DEP004; }

templates: $(STAMP)
	$(timed) $(BIN)/cfn-lint src/greenroom/platform/*.yaml

# What the roles may do, against what AWS says that it asks for.
policies: $(STAMP)
	$(timed) $(BIN)/pytest --quiet tests/unit/platform/test_policies.py tests/unit/embedded/test_stack_permissions.py

# Deno is given no way to download anything, and leaves nothing in the home folder.
page: export DENO_DIR = $(VENV)/deno
page: export DENO_NO_UPDATE_CHECK = 1
page: $(STAMP)
	$(timed) { $(BIN)/deno check --quiet --no-remote --no-npm src/greenroom/web/static/*.js && \
	  $(BIN)/deno lint --quiet src/greenroom/web/static src/greenroom/engine/runtime/node.mjs; }

unit: $(STAMP)
	$(BIN)/pytest tests/unit

# tests/scheduling.py says what runs at the same time and what alone. More workers are no faster on two cores.
test: lint chromium
	$(BIN)/pytest -n 3 --cov --cov-report=term:skip-covered

# The page is tested in a real browser. Where none is found and none can be installed, these tests say so and are skipped.
.PHONY: chromium
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$(id -u)" != 0 || \
	  ! command -v apt-get >/dev/null || \
	  (TIMEFORMAT='$@: %1R s'; time { apt-get -qq update && \
  apt-get -qq install --yes --no-install-recommends chromium >/dev/null; }) || true

.PHONY: screenshots
screenshots: $(STAMP) chromium
	$(BIN)/python -m tests.browser.screenshots docs/images

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
