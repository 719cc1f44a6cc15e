# Everything that a newcomer needs. Each target installs what it uses; `make up` and `make test` are enough to begin.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UV_VERSION := 0.13.9

.PHONY: up demo test check format bench lock clean

up: .venv/installed  ## the whole product on this machine, with the examples, until Ctrl-C
	@exec $(BIN)/endpoints up --examples

demo: .venv/installed  ## the same, proved against direct queries, and stopped again
	@exec $(BIN)/endpoints demo

test: .venv/installed  ## all tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/installed  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed  ## every benchmark, the short way
	@for script in benchmarks/*.py; do $(BIN)/python $$script --quick || exit 1; done

lock: .venv/installed  ## bring requirements.lock in step with pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean:  ## forget all local state: catalog, snapshots, logs
	rm -rf .endpoints

.venv/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@
