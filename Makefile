# Every target sets up what it needs in a virtual environment of its own; nothing has to be installed by hand.
#   make compare   linear, MLP and CNN on the embedded digits: a table and a report (ARGS="--data.name mnist" and so on)
#   make test      the test suite (real MNIST and CIFAR-10 too, where TFDS_DATA_DIR holds them prepared)
#   make audit     every gradient against three references, and the referee against planted faults (ARGS="--op conv2d")
#   make bench     ops and training steps beside autodiff, Flax, Keras and torch: benchmarks/README.md (ARGS="--quick")
#   make lint      ruff: rules and format
#   make package   wheel and sdist in dist/
#   make readme    the README's table again, from docs/results/
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: compare audit test bench lint package readme clean

compare: $(VENV)/.installed
	$(BIN)/python experiments/compare.py $(ARGS)

audit: $(VENV)/.installed
	$(BIN)/python experiments/audit_gradients.py $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

bench: $(VENV)/.installed-bench
	$(BIN)/python scripts/bench_ops.py $(ARGS)
	$(BIN)/python scripts/bench_formulations.py $(filter --quick,$(ARGS))
	$(BIN)/python scripts/bench_train.py $(ARGS)
	$(BIN)/python scripts/bench_scaling.py $(ARGS)
	$(BIN)/python scripts/bench_replicates.py $(filter --quick,$(ARGS))

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

package: $(VENV)/.installed-test
	rm -rf build dist
	$(BIN)/python -m build

readme: $(VENV)/.installed
	$(BIN)/python scripts/update_readme.py

clean:
	rm -rf build dist $(VENV)

# Each marker is newer than setup.cfg exactly when what setup.cfg names is installed.
$(VENV)/.installed: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test,tfds]'
	touch $(VENV)/.installed $@

$(VENV)/.installed-bench: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $(VENV)/.installed $@

$(VENV)/bin/python:
	sh scripts/make_venv.sh $(PYTHON) $(VENV)
