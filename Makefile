# Every target needs make and Python 3.11 to 3.13, and installs the rest into $(VENV).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   ?= runs/demo
# A process for each core, up to eight; each has one TensorFlow thread (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal
# Tests are compiled once, and the project not in each of the processes that they start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-unit test-slow lint docs wheel sbom floors lock clean

# Everything is pinned and held to its hash; only then is the project itself added. The pins are
# complete, as pip's check shows, and pip need not look for dependencies: of those with extras it
# would take a newer version. KerasHub's include another TensorFlow than that of constraints.txt.
$(STAMP): constraints.txt constraints-kerashub.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "error: Python 3.11 to 3.13 is needed; received $$($(PYTHON) --version); try make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r constraints.txt
	$(BIN)/python -m pip check --quiet
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r constraints-kerashub.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The main job: train, measure, export, and ask the exported model.
demo: $(STAMP)
	rm -rf $(DEMO) saved_models/demo
	$(BIN)/zoo train signs --out $(DEMO)
	$(BIN)/zoo evaluate $(DEMO) signs --picture $(DEMO)/answers.png
	$(BIN)/zoo export $(DEMO) --to saved_models/demo
	@echo "run: $(DEMO)   picture: $(DEMO)/answers.png   SavedModel: saved_models/demo/1"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/licenses.py

test: lint
	$(PYTEST) --doctest-modules -m "not slow"

# What trains nothing: an answer in less than 90 seconds.
test-unit: $(STAMP)
	$(PYTEST) --doctest-modules -m "not train and not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

# Warnings are errors, broken links between pages among them.
docs: $(STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html

# The same bytes from the same commit: nothing but its files, with its time, readable by all.
wheel: $(STAMP)
	rm -rf build/source build/wheel
	mkdir -p build/source
	umask 022; git archive HEAD | tar -x --no-same-permissions -C build/source
	umask 022; SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m pip wheel --quiet --no-deps \
	  --no-build-isolation --wheel-dir build/wheel build/source
	$(BIN)/python -c 'import hashlib, sys; [print(hashlib.file_digest(open(f, "rb"), "sha256").hexdigest(), f) for f in sys.argv[1:]]' build/wheel/*.whl

# What is installed, with versions and licenses, as CycloneDX has it; no network.
sbom: $(STAMP)
	mkdir -p build
	$(BIN)/cyclonedx-py environment --output-reproducible --of JSON -o build/sbom.json $(BIN)/python

# Needs uv and the package index: the lowest versions that pyproject.toml admits, at work.
floors: $(STAMP)
	$(BIN)/python tools/floors.py

# Needs uv; writes names, versions and hashes, and no index addresses.
lock:
	uv pip compile pyproject.toml --extra cpu --extra dev --extra docs --extra bench --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --upgrade -o constraints.txt
	echo "keras-hub==0.32.0 regex tokenizers sentencepiece" | tr ' ' '\n' | \
	  uv pip compile - --no-deps --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --upgrade -o constraints-kerashub.txt

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
