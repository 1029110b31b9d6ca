PYTHON ?= $(shell test -x .venv/bin/python && echo .venv/bin/python || echo python3)

check: lint test

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

test:
	$(PYTHON) -m pytest

check-slow: check  # launchers that are not installed are skipped: pip install -e '.[dev,joblib,slurm,ray,optuna]'
	$(PYTHON) -m pytest -m slow

.PHONY: check check-slow lint test
