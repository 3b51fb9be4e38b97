# Every target sets up .venv first, so that `make demo` and `make test` are all a fresh clone needs.
# uv is used where it is on PATH, plain python3 and pip elsewhere; both install the same pinned versions.

SHELL  := /bin/bash
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.setup-done
EXTRAS := data notebooks gym bench dev
UV     := $(shell command -v uv 2>/dev/null)

# The first Python at 3.11 or later; `make setup PYTHON=/path/to/python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

JOBS  ?= 2
ARGS  ?=
QUICK ?=

# Compiled XLA programs are kept between runs: 4.6 s of compilation become 0.1 s.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

PYTEST := $(PY) -m pytest -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench peers race golden optimal gaps mutants survive mangle notebooks lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Install everything into .venv (done once, again when the pins change)

demo: $(STAMP)  ## Learn a policy on real sales history beside tuned rules (QUICK=1: one minute)
	$(PY) -m experiments.demo $(if $(filter-out 0,$(QUICK)),--quick) $(ARGS)

test: $(STAMP)  ## Run the tests (JOBS=2 processes, ARGS='-k name')
	$(PYTEST) $(ARGS)

test-slow: $(STAMP)  ## Run the tests that take minutes
	$(PYTEST) -m slow $(ARGS)

lint: $(STAMP)  ## Check style, format and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP)  ## Mend what ruff can mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(STAMP)  ## Measure speed beside peers, in one run
	$(PY) -m benchmarks.run $(ARGS)

peers:  ## Install the peers that the benchmarks compare with, each in an environment of its own (Python 3.11)
	$(if $(PYTHON),$(PYTHON),python3) benchmarks/peers/install.py $(ARGS)

race: $(STAMP)  ## Race the simulator against a hand-written Numba kernel
	$(PY) -m benchmarks.race $(ARGS)

golden: $(STAMP)  ## Compute every instance with a known optimum, print published beside ours
	$(PY) -m experiments.golden $(ARGS)

optimal: $(STAMP)  ## Make the figures and numbers of docs/how_far_from_optimal.md (ARGS='--only chain')
	$(PY) -m experiments.optimal_figures $(ARGS)

gaps: $(STAMP)  ## Train every learner on every family, write the table (hours; resumable; ARGS='--most 1 --seeds 2')
	$(PY) -m experiments.gaps $(ARGS)

survive: $(STAMP)  ## Kill a training 200 times and compare it with one never stopped (ARGS='--kills 20')
	$(PY) -m experiments.survive $(ARGS)

mangle: $(STAMP)  ## Check 100,000 mangled network files (a quarter of an hour; ARGS='--files 1000')
	$(PY) -m experiments.mangle --jobs $(JOBS) $(ARGS)

mutants: $(STAMP)  ## Plant bugs and see whether the physics tests notice (20 minutes; ARGS='--only 3')
	$(PY) -m experiments.mutants --jobs $(JOBS) $(ARGS)

notebooks: $(STAMP)  ## Execute notebooks/*.py and leave them beside as .ipynb with their output
	$(VENV)/bin/jupytext --quiet --to ipynb --set-kernel python3 notebooks/*.py
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PY) -m pytest --nbmake --overwrite --nbmake-timeout=900 $(ARGS) notebooks

lock:  ## Renew uv.lock and constraints.txt from pyproject.toml (needs uv)
	@uv="$${UV:-$$(command -v uv || echo $(VENV)/bin/uv)}" && \
	"$$uv" lock --default-index https://pypi.org/simple && \
	"$$uv" export --quiet --frozen --all-extras --no-hashes --no-emit-project --no-annotate -o constraints.txt

clean:  ## Remove caches and executed notebooks; keep .venv and results/
	rm -rf .cache .ruff_cache .pytest_cache .hypothesis notebooks/*.ipynb
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

comma := ,
space := $(subst ,, )

$(STAMP): pyproject.toml uv.lock constraints.txt
ifneq ($(UV),)
	@$(PY) -c '' 2>/dev/null || { rm -rf $(VENV) && "$(UV)" venv --quiet $(if $(PYTHON),--python $(PYTHON)) $(VENV); }
	UV_PROJECT_ENVIRONMENT=$(VENV) "$(UV)" sync --frozen --inexact $(EXTRAS:%=--extra %)
else
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
		test -n "$(PYTHON)" || { echo "meio_jax needs Python 3.11 or later; none was found on PATH" >&2; exit 1; }; \
		echo "making $(VENV) with $(PYTHON)"; \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "could not make $(VENV): on Debian or Ubuntu install python3-venv, or put uv on PATH" >&2; exit 1; }; }
	@echo "installing the pinned packages into $(VENV): about 1 GB, some minutes the first time"
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(subst $(space),$(comma),$(EXTRAS))]'
endif
	@touch $@
