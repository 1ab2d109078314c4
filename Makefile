# make report · make test · make lab · make docs   (each sets up .venv first)

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
REPORT ?= outputs/report

.PHONY: report test lab docs lint lock audit clean

report: .venv/.installed
	$(BIN)/python run_all.py $(ARGS)

test: .venv/.installed-test
	$(BIN)/python -m pytest $(ARGS)

lab: .venv/.installed
	$(BIN)/python -m lib lab $(ARGS)

docs: .venv/.installed-docs
	[ -d $(REPORT)/notebooks ] || $(BIN)/python run_all.py 02 --profile smoke
	REPORT=$(REPORT) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python docs/tools/check_site.py outputs/site

lint: .venv/.installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lock: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --all-extras -c constraints.txt --universal --python-version 3.11.5 --generate-hashes \
		--no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock

# --strict: a database that does not answer is no clean bill.
audit: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-test: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@# without its dependencies: of them opencv-python writes over opencv-python-headless, and needs a display's libraries
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps quantus
	touch $@

.venv/.installed-docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv
