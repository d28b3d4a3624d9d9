# Two commands on a fresh machine with Python 3.11 to 3.14 (else: make PYTHON=python3.12 ...): `make pretrain` and `make test`. `make docs`: the pages, in site/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
QUIET := $(shell test -t 2 || echo --quiet)

.PHONY: install pretrain test nightly docs clean

install: $(STAMP)

# uv lifts the pins of solo-learn's release; see [tool.uv] in pyproject.toml.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "$(PYTHON) is not Python 3.11 to 3.14; name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV), once: PyTorch, solo-learn, Lightning, Kornia and what they need, 6 GB on disk."
	@echo "That takes half a minute if the network is fast; nothing outside this folder is touched."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install $(QUIET) --python $(BIN)/python --editable ".[host,wandb,tiff,parquet,onnx,sweep,docs,dev]"
	touch $(STAMP)

pretrain: $(STAMP)
	$(BIN)/amask-pretrain experiment=quickstart_byol overwrite=true

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

nightly: $(STAMP)
	$(BIN)/python -m pytest -m nightly

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build
	@echo "Open site/index.html."

clean:
	rm -rf $(VENV) build dist site runs
