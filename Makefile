# What a person types. Every target may be run first: it installs what it needs, once.

VENV = .venv
PYTHON = python3
# Where to take a build of torch from, if not from the default index.
TORCH_INDEX_URL =
# More arguments for serve, test, bench and studies; routing tables for studies.
ARGS =
TABLES =

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
STAMP = $(VENV)/.bandit-router-installed

.PHONY: help install serve test hostile bench lint docs studies notebooks dist audit sbom clean

help:
	@echo "make install   the environment, its pinned dependencies, the package (editable)"
	@echo "make serve     the service with a demo fleet on http://127.0.0.1:8080"
	@echo "make test      every test"
	@echo "make hostile   thousands of requests and files made to break it, for half an hour"
	@echo "make bench     the speed benchmarks"
	@echo "make lint      ruff, mypy, and the documentation's links"
	@echo "make docs      the documentation as a site, in site/"
	@echo "make studies   the simulations, over TABLES=folder,... [ulab14]"
	@echo "make notebooks plays the notebooks in full and keeps their outputs"
	@echo "make dist      wheel and sdist, tried in a clean environment, with its SBOM"
	@echo "make audit     known vulnerabilities of the pinned dependencies (needs the network)"
	@echo "make sbom      what is installed, as CycloneDX: sbom.json"
	@echo "make clean     removes caches and builds (the environment stays)"
	@echo "Variables: VENV=$(VENV) PYTHON=$(PYTHON) TORCH_INDEX_URL=$(TORCH_INDEX_URL) ARGS= TABLES="

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade --constraint constraints.txt pip
ifneq ($(TORCH_INDEX_URL),)
	$(PIP) install --constraint constraints.txt --extra-index-url $(TORCH_INDEX_URL) torch
endif
	$(PIP) install --constraint constraints.txt --editable '.[onnx,otel,uvloop,simulator]' --group dev
	$(BIN)/bandit-router precompile
	touch $@

serve: install
	$(BIN)/bandit-router serve --demo --host 127.0.0.1 --port 8080 $(ARGS)

test: install
	$(BIN)/python -m pytest $(ARGS)

# TIMES as many cases as in every run of the tests.
TIMES = 50
hostile: install
	HOSTILE=$(TIMES) $(BIN)/python -m pytest tests/service/test_schemathesis.py \
		tests/service/test_sequences.py tests/test_parsers.py $(ARGS)

bench: install
	$(BIN)/bandit-router bench $(ARGS)

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(MAKE) docs

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

studies: install
	$(BIN)/python -m simulations.run $(TABLES) $(ARGS)

# Four minutes: thousands of decisions each. The tests play them with BANDIT_ROUTER_FAST=1.
notebooks: install
	$(BIN)/bandit-router precompile
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

# A few minutes: the clean environment takes torch too.
dist: $(VENV)/.bandit-router-audit
	rm -rf build/clean dist
	$(PIP) install --quiet --constraint constraints.txt build
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/clean
	build/clean/bin/pip install --quiet --constraint constraints.txt \
		$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) dist/*.whl
	cd build && clean/bin/bandit-router --help && clean/bin/bandit-router init clean/start.toml \
		&& clean/bin/bandit-router route "Prove that 17 is prime." --config clean/start.toml
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml \
		--output-file dist/bandit-router.cdx.json build/clean/bin/python

$(VENV)/.bandit-router-audit: $(STAMP)
	$(PIP) install --quiet --constraint constraints.txt --group audit
	touch $@

# Strict: a package that could not be looked up is no package without vulnerabilities.
audit: $(VENV)/.bandit-router-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict $(ARGS)

sbom: $(VENV)/.bandit-router-audit
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file sbom.json \
		$(BIN)/python

clean:
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name .venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
