# make setup      create .venv and install what the six scripts and the reading of words need
# make demo       draw the demonstration set, run the five steps in data/demo, print the scores
# make app        open a page to drop posters on, with a pretrained model or yours
# make test       check style and types, and run the tests
# make tour       run the notebook docs/tour.ipynb and save its outputs
# make bench      run benchmarks/bench_*.py, three hours; your posters: CSV=movies.csv POSTERS=folder
# make clean      delete the demonstration and files that take minutes to make again; keep
#                 downloads and trained models
# make distclean  also delete downloads, trained models, the teacher's outputs and words; asks first
#
# demo runs a step again if its script, the package or the output of the step before has changed. Each
# target sets up .venv first, with another Python if you name one: make demo PYTHON=python3.12

PYTHON ?= python3
BIN = .venv/bin
# uv installs the same packages as pip, in a quarter of the time.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python

PACKAGE = $(shell find postergenres -name '*.py')
DEMO = data/demo

.PHONY: setup demo app test tour bench clean distclean

# --- the five steps -------------------------------------------------------------------------------

# Step 5 always runs: it prints the scores.
demo: $(DEMO)/model/model.json
	$(BIN)/python predict.py --data-dir $(DEMO)

$(DEMO)/model/model.json: $(DEMO)/store/store.json train.py model.py $(PACKAGE)
	$(BIN)/python train.py --data-dir $(DEMO)

# Step 3 does not change an up-to-date store, so its date must be set here.
$(DEMO)/store/store.json: $(DEMO)/samples.csv preprocessing.py $(PACKAGE)
	$(BIN)/python preprocessing.py --data-dir $(DEMO)
	@touch $@

$(DEMO)/samples.csv: $(DEMO)/posters.csv sampling.py $(PACKAGE)
	$(BIN)/python sampling.py --data-dir $(DEMO)

# Step 1 writes posters.csv even if it fails; an old date makes the next make run it again.
$(DEMO)/posters.csv: data/sample/movies_metadata.csv database.py $(PACKAGE)
	$(BIN)/python database.py --data-dir $(DEMO) || { touch -c -t 197001010000 $@; exit 1; }

data/sample/movies_metadata.csv: data/sample/draw.py | .venv/setup.stamp
	$(BIN)/python data/sample/draw.py

# --- a page to play with -------------------------------------------------------------------------

app: .venv/app.stamp
	$(BIN)/python -m postergenres.app

# --- tests and benchmarks -------------------------------------------------------------------------

test: .venv/test.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --dist loadfile

tour: .venv/test.stamp
	$(BIN)/python tests/test_tour.py

bench: .venv/bench.stamp
	$(BIN)/python benchmarks/bench_download.py
	$(BIN)/python benchmarks/bench_preprocessing.py $(POSTERS)
	$(BIN)/python benchmarks/bench_training.py
	$(BIN)/python benchmarks/bench_training.py --study
	$(BIN)/python benchmarks/bench_prediction.py $(POSTERS)
	$(BIN)/python benchmarks/bench_end_to_end.py $(CSV) $(POSTERS)
	$(BIN)/python benchmarks/bench_profile.py $(CSV) $(POSTERS)
	$(BIN)/python benchmarks/bench_growth.py $(POSTERS)
	$(BIN)/python benchmarks/bench_sampling.py
	$(BIN)/python benchmarks/bench_similar.py
	$(BIN)/python benchmarks/bench_labels.py

# --- installation: a stamp in .venv says that a set of requirements is installed -------------------

setup: .venv/setup.stamp

.venv/setup.stamp: requirements.txt requirements/text.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Python 3.11 to 3.13 is needed. Name one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(INSTALL) -r requirements.txt -r requirements/text.txt
	@touch $@

.venv/app.stamp: .venv/setup.stamp requirements/app.txt
	$(INSTALL) -r requirements/app.txt
	@touch $@

.venv/test.stamp: .venv/setup.stamp pyproject.toml requirements/cluster.txt requirements/dev.txt \
		requirements/labels.txt requirements/transfer.txt
	$(INSTALL) -r requirements/cluster.txt -r requirements/dev.txt -r requirements/labels.txt \
		-r requirements/transfer.txt
	$(INSTALL) --no-deps -e .
	@touch $@

.venv/bench.stamp: .venv/setup.stamp pyproject.toml requirements/bench.txt requirements/labels.txt
	$(INSTALL) -r requirements/bench.txt -r requirements/labels.txt
	$(INSTALL) --no-deps -e .
	@touch $@

# --- deleting -------------------------------------------------------------------------------------

clean:
	cd data && rm -rf store store.* samples.csv sampling.* checksums.json .*.lock
	cd data && rm -rf metrics.json test_predictions.csv report.html doubtful_labels.csv
	cd data && rm -rf average_precision.png precision_recall.png reliability.png mistakes.png
	cd data && rm -rf poster_map.png
	cd data && rm -rf predictions.csv predictions.html similar.csv
	cd data && rm -rf demo tour sample/posters sample/movies_metadata.csv
	rm -rf build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean:
	@if [ "$(FORCE)" != 1 ]; then \
		echo "This also deletes the downloads (data/posters), the trained model (data/model), stopped"; \
		echo "trainings (data/unfinished), the teacher's outputs (data/distillation), features and words"; \
		echo "(data/features, data/words) and growth.csv. The folder .venv stays."; \
		if ! [ -t 0 ]; then \
			echo "Nothing was deleted: no terminal to ask on. Run: make distclean FORCE=1" >&2; \
			exit 1; \
		fi; \
		printf 'Type yes to delete all of it: '; \
		read answer; \
		if [ "$$answer" != yes ]; then echo "Nothing was deleted." >&2; exit 1; fi; \
	fi
	@$(MAKE) clean
	cd data && rm -rf posters posters.* model model.* unfinished tensorboard distillation* features words
	rm -rf growth.csv growth.png
