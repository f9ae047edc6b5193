# make demo   set up .venv, draw the demonstration set, run the five steps and print the scores
# make test   set up .venv, check the style and run the tests
# make bench  set up .venv and what to compare with, and run all benchmarks: three hours; on posters
#             of yours: make bench CSV=movies.csv POSTERS=folder
# A step runs again where its script or what it reads has changed since.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test bench clean

demo: data/model/model.json
	$(BIN)/python predict.py

data/model/model.json: data/store/store.json train.py model.py $(wildcard postergenres/models/*.py postergenres/training/*.py)
	$(BIN)/python train.py

data/store/store.json: data/samples.csv preprocessing.py $(wildcard postergenres/dataset/*.py)
	$(BIN)/python preprocessing.py
	@touch $@

data/samples.csv: data/posters.csv sampling.py $(wildcard postergenres/dataset/*.py)
	$(BIN)/python sampling.py

data/posters.csv: data/sample/movies_metadata.csv database.py $(wildcard postergenres/download/*.py)
	$(BIN)/python database.py || { touch -c -t 197001010000 $@; exit 1; }

data/sample/movies_metadata.csv: data/sample/draw.py | .venv/demo
	$(BIN)/python data/sample/draw.py

test: .venv/test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: .venv/bench
	$(BIN)/python benchmarks/bench_download.py
	$(BIN)/python benchmarks/bench_preprocessing.py $(POSTERS)
	$(BIN)/python benchmarks/bench_training.py
	$(BIN)/python benchmarks/bench_training.py --study
	$(BIN)/python benchmarks/bench_prediction.py $(POSTERS)
	$(BIN)/python benchmarks/bench_end_to_end.py $(CSV) $(POSTERS)
	$(BIN)/python benchmarks/bench_profile.py $(CSV) $(POSTERS)
	$(BIN)/python benchmarks/bench_growth.py $(POSTERS)
	$(BIN)/python benchmarks/bench_sampling.py

.venv/demo: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/test: requirements-dev.txt requirements-cluster.txt requirements-transfer.txt .venv/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-transfer.txt
	@touch $@

.venv/bench: benchmarks/requirements.txt .venv/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

clean:
	rm -rf data/posters data/posters.* data/samples.csv data/sampling.json data/store data/store.lock data/distillation data/model data/sample/posters \
		data/sample/movies_metadata.csv data/metrics.json data/*predictions.csv data/*.png data/*.html growth.csv growth.png
