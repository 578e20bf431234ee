# Every target sets up what it needs: a virtual environment in .venv, with exact versions from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
STORAGE ?= runs

# Nothing was tuned on these: the recipe was made on seeds 0 and 1.
SEEDS ?= 100 101 102 103 104

.PHONY: help sweep ablation tables report ui test test-all kills lint docs notebooks clean
.DEFAULT_GOAL := sweep

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
	@echo
	@echo "Options are passed on by ARGS: make sweep ARGS='--dry-run'. Results are in STORAGE=$(STORAGE)."
	@echo "Everything else is a command: $(BIN)/dmt --help"

sweep: $(READY)  ## search gamma1 and gamma2 on the built-in toy data set; start it again to resume
	$(BIN)/dmt sweep gamma_sweep --storage $(STORAGE) $(ARGS)

ablation: $(READY)  ## Table 9 of DMT on the built-in toy data set, 5 seeds; start it again to resume
	$(BIN)/dmt ablate components --storage $(STORAGE) --seeds $(SEEDS) $(ARGS)

tables: $(READY)  ## print the tables of all ablations, and write them as Markdown, LaTeX, CSV and HTML
	$(BIN)/dmt table --storage $(STORAGE) $(ARGS)

report: $(READY)  ## write an HTML page of every sweep and ablation, and an index
	$(BIN)/dmt report --storage $(STORAGE) $(ARGS)

ui: $(READY)  ## browse the results on http://127.0.0.1:5000
	$(BIN)/dmt ui --storage $(STORAGE) $(ARGS)

test: $(READY)  ## the fast tests, on all cores
	$(BIN)/python -m pytest $(ARGS)

test-all: $(READY)  ## all tests
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

kills: $(READY)  ## a sweep and an ablation while everything that they need is killed at random, for five minutes
	$(BIN)/python benchmarks/kills.py $(ARGS)

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.docs runs/docs/.ready  ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html in a browser."

notebooks: .venv/.notebooks  ## open the notebooks in JupyterLab, on the results in STORAGE
	DMT_STORAGE=$${DMT_STORAGE:-$(abspath $(STORAGE))} $(BIN)/jupyter lab --ip 127.0.0.1 analysis $(ARGS)

# The results on which the site's notebooks are executed: a part of the default experiments, with shorter trainings.
EXAMPLE := --storage runs/docs --set pretrain.epochs=80 --set percentiles=[0.5,1.0]
runs/docs/.ready: | $(READY)
	$(BIN)/dmt ablate components $(EXAMPLE) --rows CBST DMT --seeds 0 1
	$(BIN)/dmt sweep gamma_sweep $(EXAMPLE) --trials 4
	@touch $@

# The tools of some targets alone: .venv/.docs and .venv/.notebooks are the extras of these names in pyproject.toml.
.venv/.docs .venv/.notebooks: $(READY)
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,$(patsubst .%,%,$(@F))]'; \
	else \
	  $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,$(patsubst .%,%,$(@F))]'; \
	fi
	@touch $@

# Byte-code is compiled at once: every process of a sweep imports torch, and compiling it anew each time takes longer.
$(READY): pyproject.toml setup.py constraints.txt
	@echo "Setting up .venv (once; torch is large) ..."
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python '>=3.11' .venv && \
	  UV_COMPILE_BYTECODE=1 uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,pretrained]'; \
	else \
	  $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, but $(PYTHON) is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)' && \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,pretrained]'; \
	fi
	@touch $(READY)

clean:  ## remove the virtual environment, not the results
	rm -rf .venv
