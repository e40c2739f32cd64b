# make setup | demo | space | training | models | evidence | test | mutants | lint | format | audit | clean
# `make demo ARGS="--port 8000"` passes arguments to app.py, and likewise for space and test.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
SOURCES := $(wildcard app.py app_zero_gpu.py) $(wildcard lora_mcl ui deploy training tests benchmarks)
ARGS ?=
# Where `make space` writes.
SPACE ?= build/space

.PHONY: help setup demo space training models evidence dev chromium test mutants lint format audit clean

help:
	@echo "make setup     create $(VENV) and install what the page needs (Python 3.11 to 3.14)"
	@echo "make demo      setup, then serve the page and print its address"
	@echo "make space     setup, then assemble a Hugging Face Space in $(SPACE) (docs/spaces.md)"
	@echo "make training  setup, and what the training commands need"
	@echo "make models    training, then make both embedded models anew, going on where it was cut short (hours)"
	@echo "make evidence  training, then every experiment of docs/evidence.md, going on where it was cut short (hours)"
	@echo "make test      setup and the test needs, then every test, on every core (ARGS=tests/library: those of one area)"
	@echo "make mutants AREA=trainer  mutation testing of an area: its score and what survives (slow; tests/support/mutants.py)"
	@echo "make lint      check style; make format puts it right"
	@echo "make audit     look the installed packages up in PyPI's list of known weaknesses"
	@echo "make clean     remove $(VENV) and caches (build/ stays)"

setup: $(VENV)/.requirements

training: $(VENV)/.requirements-training

dev: $(VENV)/.requirements-dev

# PYTHON=... chooses the interpreter; otherwise the first suitable one on the path.
$(VENV)/bin/python:
	@suits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; \
	for python in "$${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14 python; do \
		if command -v "$$python" >/dev/null && "$$python" -c "$$suits" 2>/dev/null; then \
			echo "Creating $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11 to 3.14 with its venv module was found." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make setup PYTHON=/path/to/python3" >&2; \
	exit 1

# On Linux the default torch carries CUDA (gigabytes): without an NVIDIA GPU its CPU index is offered too, unless pip
# is set up with an index of its own, which then decides, or the CPU index does not answer within 5 seconds.
$(VENV)/.requirements: requirements.txt | $(VENV)/bin/python
	@index=; \
	if [ "$$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1 && ! $(PIP) config list | grep -q index-url \
		&& timeout 5 $(BIN)/python -c "import urllib.request as u; u.urlopen('$(TORCH_CPU_INDEX)/torch/')" 2>/dev/null; then \
		index="--extra-index-url $(TORCH_CPU_INDEX)"; \
	fi; \
	$(PIP) install $$index -r requirements.txt
	@touch $@

# Both lists include requirements.txt, whose torch is by now the right one.
$(VENV)/.requirements-training: requirements-training.txt $(VENV)/.requirements
	$(PIP) install -r requirements-training.txt
	@touch $@

$(VENV)/.requirements-dev: requirements-dev.txt requirements-serve.txt $(VENV)/.requirements-training
	$(PIP) install -r requirements-dev.txt
	@touch $@

demo: setup
	$(BIN)/python app.py $(ARGS)

# What is done is in build/image/stages.json and build/audio/stages.json.
models: training
	$(BIN)/python -m training.embedded.all_stages audio image

# Finished runs are kept under build/translations and build/experiments.
evidence: training
	$(BIN)/python -m training.experiments.translations
	$(BIN)/python -m training.experiments.translations.bilingual
	$(BIN)/python -m training.experiments.translations.ranking
	$(BIN)/python -m training.experiments.ablations sweeps
	$(BIN)/python -m training.experiments.systems audio
	$(BIN)/python -m training.experiments.systems image
	$(BIN)/python -m training.experiments.systems.starts image
	$(BIN)/python -m training.experiments.systems.starts audio
	$(BIN)/python -m training.experiments.systems.score_head audio
	$(BIN)/python -m training.experiments.systems.score_head image
	$(BIN)/python -m training.experiments.evidence

space: setup
	$(BIN)/python -m deploy.space --out $(SPACE) $(ARGS)

# The browser tests drive Chromium's headless shell, which takes half the time of Chromium itself. It is the system's
# package (as root, or by sudo); where that cannot be installed, a Chromium or Chrome that is there will do.
chromium:
	@there() { for name; do if command -v $$name >/dev/null; then return 0; fi; done; return 1; }; \
	install() { $$root DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$1; }; \
	if there chromium-headless-shell; then exit 0; fi; \
	root=env; if [ "$$(id -u)" != 0 ]; then root="sudo -n env"; fi; \
	apt=; if there apt-get && $$root true 2>/dev/null; then apt=yes; $$root apt-get update -q || true; fi; \
	if [ -n "$$apt" ] && install chromium-headless-shell; then exit 0; fi; \
	if there chromium chromium-browser google-chrome google-chrome-stable; then exit 0; fi; \
	if [ -n "$$apt" ] && install chromium; then exit 0; fi; \
	echo "Chromium is missing and could not be installed from here: the browser tests will not run." >&2; \
	echo "Install Chromium or Google Chrome (Debian: sudo apt-get install chromium) and try again." >&2

test: dev chromium
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

mutants: dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.mutants $(AREA) $(ARGS)

lint: dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

audit: dev
	$(BIN)/python -m tests.support.audit $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
