# `make` alone lists the targets. A target takes overrides: make mlp ARGS="train.epochs=3 seed=1"
# QUICK=1 makes a short run of less than a minute: make vgg QUICK=1

PYTHON ?= python3
ARGS   ?=
QUICK  ?=
BIN    := .venv/bin
READY  := .venv/.ready
CACHE  := $(or $(D2LRUN_CACHE),$(HOME)/.cache/d2lrun)
DATA   := $(CACHE)/fashion-mnist/t10k-labels-idx1-ubyte

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run softmax mlp lenet alexnet vgg nin googlenet batch-norm resnet densenet sequence text language-model rnn gru lstm deep-rnn bi-rnn whole-book seq2seq attention transformer augmentation fine-tuning arithmetic tagging reviews model-selection weight-decay dropout house-prices kfold sweep summary doctor install data test check test-ray test-hydra-next lint format bench notebooks mutants lock clean

help: ## list the targets (the default)
	@awk -F ' *## *' '/^[a-z0-9-]+:.*## /{sub(/:.*/, "", $$1); printf "  make %-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- train ---------------------------------------------------------------------------------------------------

run: $(READY) $(DATA) ## set up what is missing, then train an MLP on Fashion-MNIST, as in the book
	@$(BIN)/d2lrun $(LOOK) $(ARGS)

softmax: $(READY) $(DATA) ## book 3.6, 3.7: softmax regression
	@$(call chapter,softmax)

mlp: $(READY) $(DATA) ## book 4.2, 4.3: multilayer perceptron
	@$(call chapter,mlp)

lenet: $(READY) $(DATA) ## book 6.6: LeNet, the first convolutional network
	@$(call chapter,lenet)

alexnet: $(READY) $(DATA) ## book 7.1: AlexNet (hours without a GPU: try QUICK=1)
	@$(call long_chapter,alexnet)

vgg: $(READY) $(DATA) ## book 7.2: VGG, blocks of convolutions (hours without a GPU)
	@$(call long_chapter,vgg)

nin: $(READY) $(DATA) ## book 7.3: network in network (hours without a GPU)
	@$(call long_chapter,nin)

googlenet: $(READY) $(DATA) ## book 7.4: GoogLeNet, parallel paths (hours without a GPU)
	@$(call long_chapter,googlenet)

batch-norm: $(READY) $(DATA) ## book 7.5: LeNet with batch normalisation
	@$(call chapter,lenet-bn)

resnet: $(READY) $(DATA) ## book 7.6: ResNet-18, residual blocks (hours without a GPU)
	@$(call long_chapter,resnet)

densenet: $(READY) $(DATA) ## book 7.7: DenseNet (hours without a GPU)
	@$(call long_chapter,densenet)

sequence: $(READY) ## book 8.1: a noisy sine predicted by an MLP, a linear model and a GRU; error against window length
	@$(BIN)/d2lrun experiment=sine $(SHORTER) $(ARGS)
	@$(BIN)/d2lrun experiment=sine-linear $(SHORTER) $(ARGS)
	@$(BIN)/d2lrun experiment=sine-gru $(SHORTER) $(ARGS)
	@$(BIN)/d2lrun -m experiment=sine-tau $(SHORTER) $(ARGS)

text: $(READY) ## book 8.2, 8.3: lines, tokens and counts of The Time Machine, and the Zipf plot
	@$(BIN)/d2lrun data dataset=timemachine $(ARGS)

language-model: $(READY) ## book 8.3: an n-gram language model, measured on held-out text
	@$(BIN)/d2lrun model=ngram $(if $(QUICK),dataset.max_tokens=10000) $(ARGS)

rnn: $(READY) ## book 8.6: recurrent network
	@$(BIN)/d2lrun model=rnn $(FEW) $(ARGS)

gru: $(READY) ## book 9.1: gated recurrent unit
	@$(BIN)/d2lrun model=gru $(FEW) $(ARGS)

lstm: $(READY) ## book 9.2: long short-term memory
	@$(BIN)/d2lrun model=lstm $(FEW) $(ARGS)

deep-rnn: $(READY) ## book 9.3: two layers of LSTM
	@$(BIN)/d2lrun experiment=deep-rnn $(FEW) $(ARGS)

bi-rnn: $(READY) ## book 9.4: a bidirectional LSTM, which reads the token that it predicts
	@$(BIN)/d2lrun experiment=bi-rnn $(FEW) $(ARGS)

whole-book: $(READY) ## an LSTM on all of The Time Machine, measured on its last tenth
	@$(BIN)/d2lrun experiment=whole-book $(if $(QUICK),train.epochs=1) $(ARGS)

seq2seq: $(READY) ## book 9.5 to 9.8: French for 601 short English sentences, by an encoder and a decoder
	@$(BIN)/d2lrun experiment=seq2seq $(FEW) $(ARGS)

attention: $(READY) ## book 10.4: the same with attention (Bahdanau), and heat maps of it
	@$(BIN)/d2lrun experiment=bahdanau $(FEW) $(ARGS)

transformer: $(READY) ## book 10.2, 10.7: kernel regression as attention, then the same translations by a Transformer
	@$(BIN)/d2lrun model=nadaraya-watson $(if $(QUICK),train.epochs=2) $(ARGS)
	@$(BIN)/d2lrun experiment=transformer $(FEW) $(ARGS)

augmentation: $(READY) ## book 13.1: ResNet-18 on CIFAR-10 with random flips (hours without a GPU: try QUICK=1)
	@$(if $(QUICK),,$(BIN)/d2lrun cost experiment=augmentation $(ARGS) &&) $(BIN)/d2lrun experiment=augmentation $(GLANCE) $(ARGS)

fine-tuning: $(READY) ## book 13.2: hot dogs by a pretrained ResNet-18, and by one from random weights
	@$(BIN)/d2lrun experiment=fine-tuning $(GLANCE) $(ARGS)
	@$(BIN)/d2lrun experiment=fine-tuning-off $(GLANCE) $(ARGS)

arithmetic: $(READY) ## questions and answers: learn to add two numbers, two minutes
	@$(BIN)/d2lrun experiment=arithmetic $(if $(QUICK),train.epochs=2) $(ARGS)

tagging: $(READY) ## parts of speech of Chinese words; capitals and marks put back into English text
	@$(BIN)/d2lrun experiment=people-daily $(LOOK) $(ARGS)
	@$(BIN)/d2lrun experiment=restore $(LOOK) $(ARGS)

reviews: $(READY) ## four networks on Chinese reviews: a bag of words, GRU, LSTM, text CNN; one table
	@$(BIN)/d2lrun data dataset=reviews-zh > /dev/null 2>&1 || $(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[reviews,zh]'
	@$(BIN)/d2lrun -m sweep.name=reviews experiment=reviews-bag,reviews-textcnn,reviews-gru,reviews-lstm $(if $(QUICK),train.epochs=1 train.limit_batches=20) $(ARGS)

model-selection: $(READY) ## book 4.4: underfitting and overfitting; error against number of terms and of rows
	@$(BIN)/d2lrun -m sweep.name=three-fits experiment=polynomial-normal,polynomial-underfit,polynomial-overfit $(SOME) $(ARGS)
	@$(BIN)/d2lrun -m experiment=capacity $(SOME) $(ARGS)
	@$(BIN)/d2lrun -m experiment=amount-of-data $(SOME) $(ARGS)

weight-decay: $(READY) ## book 4.5: fits without and with weight decay, then a sweep over it
	@$(BIN)/d2lrun -m sweep.name=weight-decay-two-fits experiment=weight-decay-off,weight-decay $(FEW) $(ARGS)
	@$(BIN)/d2lrun -m experiment=weight-decay optimizer.weight_decay=0,0.1,0.3,1,3,10 $(FEW) $(ARGS)

dropout: $(READY) $(DATA) ## book 4.6: an MLP with dropout, with three pairs of rates
	@$(BIN)/d2lrun -m experiment=dropout 'model.dropout=choice([0.0,0.0],[0.2,0.5],[0.5,0.5])' $(LOOK) $(ARGS)

house-prices: $(READY) ## book 4.10: Kaggle's house prices, five folds, and submission.csv
	@$(BIN)/d2lrun experiment=house-prices $(FEW) $(ARGS)

kfold: $(READY) $(DATA) ## five folds of Fashion-MNIST, mean and spread; the same command continues it
	@$(BIN)/d2lrun model=mlp validation=kfold $(LOOK) $(ARGS)

sweep: $(READY) $(DATA) ## two models, three learning rates, one table; the same command continues it
	@$(BIN)/d2lrun -m model=softmax,mlp optimizer.lr=0.05,0.1,0.5 validation=holdout $(or $(LOOK),train.epochs=3) $(ARGS)

FEW = $(if $(QUICK),train.epochs=20)
SHORTER = $(if $(QUICK),train.epochs=2)
SOME = $(if $(QUICK),train.epochs=300)
chapter = $(BIN)/d2lrun model=$(1) $(LOOK) $(ARGS)
long_chapter = $(if $(QUICK),,$(BIN)/d2lrun cost model=$(1) $(ARGS) &&) $(BIN)/d2lrun model=$(1) $(GLANCE) $(ARGS)
LOOK = $(if $(QUICK),train.epochs=1 train.limit_batches=20)
GLANCE = $(if $(QUICK),train.epochs=1 train.limit_batches=5)

# --- look ----------------------------------------------------------------------------------------------------

summary: $(READY) ## layers, shapes, parameters: make summary ARGS=model=lenet
	@$(BIN)/d2lrun summary $(ARGS)

doctor: $(READY) ## versions, devices, data found: what a bug report needs
	@$(BIN)/d2lrun doctor

bench: $(READY) $(DATA) ## compare epochs with the book's own loop and pure compute; time start-up and sweeps
	@$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick) $(ARGS)

# --- set up and check ----------------------------------------------------------------------------------------

install: $(READY) ## make .venv with the locked dependencies and d2lrun itself

data: $(READY) ## fetch and verify Fashion-MNIST: from local folders, public mirrors, Debian's package
	@$(FETCH)

test: $(READY) $(DATA) ## the test suite, on all cores
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: lint ## check style and types, and run the quick tests: a minute and a half
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(ARGS)

test-ray: ## test sweeps under Ray, in .venv-ray: its launcher needs older packages than the locked ones
	@$(PYTHON) -m venv .venv-ray
	@grep -E '^torch(vision)?==' requirements.lock > .venv-ray/lock.txt
	@.venv-ray/bin/python -m pip install -q --disable-pip-version-check -c .venv-ray/lock.txt -e '.[ray]' pytest hypothesis
	@.venv-ray/bin/python -m pytest tests/sweeps/test_launchers.py -k 'ray and not hydra' $(ARGS)

test-hydra-next: ## test composing, sweeps and launchers with Hydra's newest pre-release, in .venv-hydra-next
	@$(PYTHON) -m venv .venv-hydra-next
	@grep -E '^torch(vision)?==' requirements.lock > .venv-hydra-next/lock.txt
	@.venv-hydra-next/bin/python -m pip install -q --disable-pip-version-check -c .venv-hydra-next/lock.txt \
	  -e '.[parallel,slurm,optuna]' 'hydra-core>=1.4.0rc0' 'omegaconf>=2.4.0rc0' pytest hypothesis
	@.venv-hydra-next/bin/python -m pip list --format=freeze | grep -E '^(hydra-core|omegaconf)=='
	@.venv-hydra-next/bin/python -m pytest tests/config/test_hydra_internal.py tests/config/test_compose.py tests/sweeps $(ARGS)

notebooks: $(READY) ## run the notebooks of docs/notebooks and write their outputs into them
	@$(BIN)/python docs/notebooks/execute.py $(ARGS)

mutants: $(READY) ## break the code in random places and see whether a test fails: make mutants ARGS="--count 50 --seed 1"
	@$(BIN)/python benchmarks/mutants.py $(ARGS)

lint: $(READY) ## check style and common mistakes (ruff) and types (mypy)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(READY) ## format the code (ruff)
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: $(READY) ## make requirements.lock again from pyproject.toml
	@$(BIN)/python -m pip install -q uv
	@printf 'torch==2.13.0\ntorchvision==0.28.0\n' > .venv/pins.txt
	@{ sed -n 1p requirements.lock; $(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links -q --override .venv/pins.txt; } > .venv/lock.txt
	@cp .venv/lock.txt requirements.lock

clean: ## remove .venv and caches; outputs/ and the data stay
	rm -rf .venv .venv-ray .venv-hydra-next .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: d2lrun needs Python 3.10 or newer" >&2; echo "hint: make run PYTHON=python3.12" >&2; exit 2; }
	@echo "installing into .venv (once; torch is large)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@

$(DATA): | $(READY)
	@$(FETCH)

FETCH = $(BIN)/d2lrun data 2> .venv/data.log || { $(FROM_DEBIAN); } || { cat .venv/data.log >&2; exit 2; }

# Debian and Ubuntu have a package with the same files. This needs neither root nor up-to-date package lists.
FROM_DEBIAN = \
  command -v apt-get > /dev/null && \
  echo "no mirror answered; trying the Debian package dataset-fashion-mnist" && \
  box=$$(mktemp -d) && trap 'rm -rf "$$box"' EXIT && cd "$$box" && mkdir -p state/lists/partial cache/archives/partial && \
  private="-o Dir::State=$$box/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$$box/cache" && \
  { apt-get -qq download dataset-fashion-mnist 2> /dev/null || \
    { apt-get -qq $$private update && apt-get -qq $$private download dataset-fashion-mnist; }; } && \
  dpkg -x dataset-fashion-mnist_*.deb unpacked && \
  D2LRUN_DATA="$$box/unpacked/usr/share/datasets" $(CURDIR)/$(BIN)/d2lrun data
