# make serve   serve the FastAPI and the Flask example at once
# make test    lint, types, and all tests but the slow ones (make pytest TESTS="-m slow")
# make lint    lint and types only
# make fuzz    look for requests that the parsers disagree about (FUZZ="--help" for a selection)
# make bench   measure against other servers (BENCH="--help" for a selection)
# make docs    write what is generated in docs/
# make clean   remove everything that was made
#
# Needs python3 (3.11 or newer) with venv, and make. Everything goes to VENV and build/.
# PYTHON chooses the interpreter, TESTS what pytest gets: make test TESTS="tests/server -k bind",
# JOBS how many files are tested at the same time (0: all in one process, for a debugger)

PYTHON ?= python3
VENV ?= .venv
TESTS ?=
JOBS ?= 3
BENCH ?=
FUZZ ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Kept compiled, so that each of the many servers that the tests start is quick about it.
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where setuptools leaves its notes: not at the top level.
export DIST_EXTRA_CONFIG := $(CURDIR)/build/setuptools.cfg

# The editable install links file by file, so it has to be repeated when the list of files changes.
# The list is a file of its own, which is only touched when it does.
SOURCES := $(sort $(wildcard server/*.py protocols/*.py protocols/*/*.py adapters/*.py adapters/*/*.py))
LIST := $(VENV)/sources
ifneq ($(shell cat $(LIST) 2>/dev/null),$(SOURCES))
$(LIST): FORCE
endif

.PHONY: serve test lint pytest fuzz bench docs install clean FORCE

serve: install
	@$(BIN)/python examples/serve.py

test: lint pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p aserve
	$(BIN)/mypy tests examples benchmarks

pytest: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

fuzz: install
	$(if $(filter --atheris,$(FUZZ)),$(BIN)/python -m pip install --quiet 'atheris>=3')
	$(BIN)/python -m tests.fuzz $(FUZZ)

# It makes an environment of its own, with the peers.
bench:
	$(PYTHON) -m benchmarks $(BENCH)

docs: install
	$(BIN)/python -m aserve.reference docs
	$(BIN)/python -m aserve.keywordtypes > build/keywords.py
	mv build/keywords.py server/keywords.py

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(LIST) $(BIN)/python build/setuptools.cfg
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --config-settings editable_mode=strict
	@touch $@

$(LIST): $(BIN)/python
	@printf '%s\n' '$(SOURCES)' > $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is too old: 3.11 or newer is needed, name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) has no venv: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo '*' > $(VENV)/.gitignore

build/setuptools.cfg:
	@mkdir -p build
	@echo '*' > build/.gitignore
	@printf '[egg_info]\negg_base = build\n' > $@

clean:
	rm -rf .venv build
