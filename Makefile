# make setup | demo | test | coverage | check | bench. Each does the set-up by itself; the second call reuses the first one's work.
# ARGS are handed on: make test ARGS="tests/test_axes.py -x", make demo ARGS=--headless

BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
HEADLESS := $(if $(filter Linux,$(shell uname -s)),$(if $(DISPLAY)$(WAYLAND_DISPLAY),,--headless),)
RUN ?=
ARGS ?=

.PHONY: help setup demo test coverage check bench

help:
	@echo "make setup   the environment in .venv"
	@echo "make demo    train, apply and score on sample data; scores and pictures in demo/"
	@echo "make test    all tests                        make test ARGS='tests/test_axes.py -x'"
	@echo "make coverage  all tests, and which lines of the package they run (93 % or more)"
	@echo "make check   style, types and code that nothing calls"
	@echo "make bench   what can be measured             make bench RUN=loop_overhead"

setup: .venv/.ready ; @:

.venv/.ready: pyproject.toml constraints.txt scripts/setup.sh scripts/debian-packages.txt
	@bash scripts/setup.sh

demo: setup
	@$(BIN)/napari-dojo demo --out demo $(HEADLESS) $(ARGS)

test: setup
	@bash scripts/test.sh $(BIN)/python $(ARGS)

coverage: setup
	@bash scripts/test.sh $(BIN)/python -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term --cov-fail-under=93 $(ARGS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/vulture

ifeq ($(RUN),)
bench: setup
	@$(BIN)/python scripts/benchmarks.py
else
bench: setup
	@$(BIN)/python benchmarks/$(RUN).py $(ARGS)
endif
