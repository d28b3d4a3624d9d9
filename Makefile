# Two commands on a fresh machine with Python >= 3.11: `make pretrain` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: install pretrain test check clean

install: $(STAMP)

# uv lifts the pins of solo-learn's release; see [tool.uv] in pyproject.toml.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[host,wandb,sweep,dev]"
	touch $(STAMP)

pretrain: $(STAMP)
	$(BIN)/amask-pretrain name=first_run overwrite=true

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses 2

clean:
	rm -rf $(VENV) build dist runs
