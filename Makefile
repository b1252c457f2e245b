# Every target sets up what it needs in a virtual environment of its own; nothing has to be installed by hand.
#   make compare   linear, MLP and CNN on the embedded digits: a table and a report (ARGS="--data.name mnist" and so on)
#   make test      the test suite (on real MNIST too, where TFDS_DATA_DIR holds it; ARGS="-m sweep" runs what it samples)
#   make look      the digits CNN, trained and looked into: runs/look/digits/look/report.html (ARGS="--sections units")
#   make look-cifar  the same of a network that is trained on CIFAR-10 for some twenty minutes, for dreams and styles
#   make claims    what textbooks claim of convnets, measured: docs/claims.md, runs/claims/report.html (ARGS="--only 3")
#   make exercise  what you wrote in experiments/exercises/, judged: docs/exercises.md (N=3: the third; without N: all)
#   make audit     every gradient against three references, and the referee against planted faults (ARGS="--op conv2d")
#   make audit-jax  public functions of the JAX that is installed beside their mathematics (ARGS="--only jax.nn")
#   make bench     ops and training steps beside autodiff, Flax, Keras and torch: benchmarks/README.md (ARGS="--quick")
#   make lint      ruff: rules and format
#   make package   wheel and sdist in dist/
#   make readme    the README's table again, from docs/results/
#   make lock      requirements.lock after a change of setup.cfg (ARGS=--upgrade: the newest of everything)
# Versions come from requirements.lock, with hashes. Of another Python: make test PYTHON=python3.13 VENV=.venv-3.13;
# without the lock, the newest that setup.cfg allows: make test LOCK= VENV=.venv-newest.
PYTHON ?= python3
LOCK ?= requirements.lock
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
N ?=
# What Python has compiled of this project it keeps beside the source, where git ignores it, though the environment may
# say otherwise, as that of a container often does: every process of the tests would compile all of it again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: compare claims exercise look look-cifar audit audit-jax test bench lint package readme lock clean

compare: $(VENV)/.installed
	$(BIN)/python experiments/compare.py $(ARGS)

# A run that is there is not trained again; one that was stopped goes on.
look: $(VENV)/.installed
	test -f runs/look/digits/result.npz || $(BIN)/python experiments/train.py --out runs/look/digits --resume
	$(BIN)/python experiments/look.py runs/look/digits $(ARGS)

look-cifar: $(VENV)/.installed
	test -f runs/look/cifar10/result.npz || \
	    $(BIN)/python experiments/train.py --config experiments/networks/cifar10.toml --out runs/look/cifar10 --resume
	$(BIN)/python experiments/look.py runs/look/cifar10 $(ARGS)

claims: $(VENV)/.installed
	$(BIN)/python experiments/claims.py $(if $(ARGS),$(ARGS),--document docs/claims.md --results docs/results/claims.json)

exercise: $(VENV)/.installed
	$(BIN)/python experiments/exercise.py $(N) $(ARGS)

audit: $(VENV)/.installed
	$(BIN)/python experiments/audit_gradients.py $(ARGS)

audit-jax: $(VENV)/.installed
	$(BIN)/python experiments/audit_jax.py $(ARGS)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks ops $(ARGS)
	$(BIN)/python -m benchmarks formulations $(filter --quick,$(ARGS))
	$(BIN)/python -m benchmarks train $(ARGS)
	$(BIN)/python -m benchmarks scaling $(ARGS)
	$(BIN)/python -m benchmarks replicates $(filter --quick,$(ARGS))

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

package: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/python -m build

readme: $(VENV)/.installed
	$(BIN)/python -m scripts.update_readme

lock: $(VENV)/.installed-uv
	$(BIN)/python -m scripts.environment lock $(ARGS)

clean:
	rm -rf build dist $(VENV)

# Each marker is newer than setup.cfg and the lock exactly when what they name is installed.
$(VENV)/.installed: setup.cfg $(LOCK) | $(VENV)/bin/python
	@echo 'Installing into $(VENV), which takes a minute or two'
	$(BIN)/python -m scripts.environment install "$(LOCK)"
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(VENV)/.installed-uv: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet 'uv>=0.9'
	touch $@

$(VENV)/bin/python:
	sh scripts/make_venv.sh $(PYTHON) $(VENV)
