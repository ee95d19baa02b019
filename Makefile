# make demo   install, then the main job: from collisions to a verdict
# make test   install, then the tests
# make bench  install, then the benchmarks
# make lint   install, then ruff and mypy
# make lock   write requirements.lock anew from pyproject.toml (needs uv)

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c \
  'import sys, venv, ensurepip; (3, 11) <= sys.version_info[:2] <= (3, 13) and print("$(p)")' 2>/dev/null)))
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test bench lint lock clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)
	$(BIN)/jetgate check
	$(BIN)/jetgate run jet_tagger

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# The training benchmark compares the Keras backends; jax is optional otherwise, so it is not in the lock but held to it.
bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock jax==0.10.2
	$(BIN)/python -m pytest -n auto -m long tests
	$(BIN)/python -m pytest -s -o python_files='bench_*.py' tests/benchmarks $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 with venv is missing: on Debian and Ubuntu 'apt install python3 python3-venv'" >&2; exit 3; }
	@for tool in g++ perl git; do command -v $$tool >/dev/null || \
	  { echo "$$tool is missing: on Debian and Ubuntu 'apt install $$tool', on Fedora 'dnf install $$tool'" >&2; exit 3; }; done
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:
	uv pip compile --quiet --universal --python-version 3.11 --group dev --no-emit-index-url --no-emit-find-links \
	  pyproject.toml -o requirements.lock

clean:
	rm -rf .venv runs vivado_projects/*-* dist
