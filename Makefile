# make report · make test · make lab   (each sets up .venv first)

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: report test lab lint clean

report: .venv/.installed
	$(BIN)/python run_all.py $(ARGS)

test: .venv/.installed-test
	$(BIN)/python -m pytest $(ARGS)

lab: .venv/.installed
	$(BIN)/jupyter lab notebooks

lint: .venv/.installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf .venv
