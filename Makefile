# Two commands a newcomer needs: `make demo` and `make test`. Everything else is for people working on Greenroom.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help demo test lint format unit clean
help:
	@echo "make demo    set up everything and run the main job on the embedded AWS"
	@echo "make test    set up everything, lint, type-check and run every test"
	@echo "make lint    ruff, mypy --strict, import rules, cfn-lint"
	@echo "make unit    the tests without I/O"
	@echo "make format  reformat the sources"
	@echo "make screenshots  take the page's pictures for the README, in Chromium"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Greenroom needs Python 3.11 or later: set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/greenroom demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/pytest tests/unit

test: lint chromium
	$(BIN)/pytest

# The page is tested in a real browser. Where none is found and none can be installed, these tests say so and are skipped.
.PHONY: chromium
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$(id -u)" != 0 || \
	  ! command -v apt-get >/dev/null || \
	  (apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null) || true

.PHONY: screenshots
screenshots: $(STAMP) chromium
	$(BIN)/python -m tests.browser.screenshots docs/images

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
