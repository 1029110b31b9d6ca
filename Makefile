PYTHON ?= $(shell test -x .venv/bin/python && echo .venv/bin/python || echo python3)

check: lint docs test

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pyright --pythonpath $(PYTHON)
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as lint; lint()"

test:
	$(PYTHON) -m pytest -n auto

check-slow: check  # launchers that are not installed are skipped: pip install -e '.[dev,joblib,slurm,ray,optuna]'
	$(PYTHON) -m pytest -n auto -m slow

# The site, into site/: pages made from the code first, then mkdocs, which fails on any dead link.
docs:
	$(PYTHON) scripts/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

# The lock first, which needs no network; then its versions against known vulnerabilities. Where those cannot be had, it
# fails and says so: what was not audited does not pass.
audit:
	$(PYTHON) -m pytest tests/project/test_lock.py
	$(PYTHON) -m pip_audit --strict --disable-pip --requirement requirements.lock

# Keeps the versions that still satisfy pyproject.toml; `make lock UPGRADE=--upgrade` takes the newest of everything.
lock:
	$(PYTHON) -m uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-annotate --no-header \
		--quiet $(UPGRADE) --output-file requirements.lock

# One after the other, on a machine that does nothing else: about an hour on 2 cores.
OUT = results/benchmarks/$(shell date +%F).csv
bench:
	for name in train_throughput optimizer_step neighbours eval_curve scheme_overhead time_to_chart profile_step memory tokenization large_corpus query_chunks; do \
		$(PYTHON) benchmarks/$$name.py --out $(OUT) || exit 1; done
	$(PYTHON) benchmarks/memory.py --name memory_at_65536 --model tiny --layers 0 --lengths 65536 \
		--schemes rope,yarn,alibi,t5 --out $(OUT)

.PHONY: audit bench check check-slow docs lint lock test
