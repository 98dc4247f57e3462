# `make app` and `make test` set everything up themselves, ask nothing, and take seconds when repeated.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: app test lint results clean help

help:
	@echo "make app      open the explorer in the browser"
	@echo "make test     run the tests"
	@echo "make lint     check style and types"
	@echo "make results  bring the tables in README.md up to date"
	@echo "make clean    remove the virtual environment and caches"

app: $(VENV)/.app-ready
	$(BIN)/python -m core app $(ARGS)

# What drives a browser or Streamlit runs in processes of its own.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
    --max-worker-restart 0
PAGES := tests/app tests/browser

test: $(VENV)/.test-ready
ifeq ($(ARGS),)
	$(PYTEST) $(PAGES:%=--ignore=%)
	$(PYTEST) $(PAGES)
else
	$(PYTEST) $(ARGS)
endif

lint: $(VENV)/.test-ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

results: $(VENV)/.app-ready
	$(BIN)/python -m core models --update README.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.app-ready: requirements.txt | $(VENV)/bin/pip
	@echo "Installing the dependencies (once, a few minutes) ..."
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.test-ready: requirements.txt requirements-dev.txt tests/chromium.py | $(VENV)/bin/pip
	@echo "Installing the dependencies (once, a few minutes) ..."
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	$(BIN)/python -m tests.chromium
	@touch $@ $(VENV)/.app-ready

# PYTHON=... chooses another interpreter. A shim that names a Python which is not there fails the
# question and is passed over.
$(VENV)/bin/pip:
	@set -eu; \
	for python in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "Making $(VENV) with $$($$python --version) ..."; \
	    $$python -m venv $(VENV) && exit 0; \
	    echo "$$python has no venv module; trying to install it ..." >&2; \
	    root=""; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    if command -v apt-get >/dev/null; then \
	        $$root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null || true; \
	        $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	            python$$version-venv </dev/null || true; \
	    fi; \
	    rm -rf $(VENV); $$python -m venv $(VENV) && exit 0; rm -rf $(VENV); \
	done; \
	echo "expected Python 3.11 or newer with its venv module, but found none;" \
	    "install it (python.org, apt, brew) or name it with make PYTHON=/path/to/python3." >&2; \
	exit 1
