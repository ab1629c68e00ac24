# Development tasks. `make` alone builds in place, so that `PYTHONPATH=$(CURDIR) pytest` runs against this tree.

PYTHON ?= python

.PHONY: build test bench bits features lint format fuzz guard alias kill mapped tables large sanitize emulate mutate exhaustive wheels clean

build:
	$(PYTHON) setup.py build_ext --inplace

test: build
	PYTHONPATH=$(CURDIR) $(PYTHON) -m pytest

bench: build
	OPENBLAS_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(PYTHON) -m pytest bench

# The hashes of results that ship with the package, fastnn/bits.json. New names extend it; others need fastnn.BITS raised.
bits: build
	PYTHONPATH=$(CURDIR) $(PYTHON) -c "from fastnn import verify; verify.write()"

# docs/features.md, from the tables and docstrings.
features: build
	PYTHONPATH=$(CURDIR) $(PYTHON) -m fastnn info --features > docs/features.md

lint:
	ruff check .
	ruff format --check .
	clang-format --dry-run --Werror csrc/*.c csrc/*.h tests/*.c tests/*.h

format:
	ruff check --fix .
	ruff format .
	clang-format -i csrc/*.c csrc/*.h tests/*.c tests/*.h

# Every kernel on memory that ends at protected pages, against plain loops; about a minute. SEED is that of the first round.
ROUNDS ?= 200000
SEED ?= 0
guard: build
	$(MAKE) -s build/guard
	build/guard $(ROUNDS) $(SEED)

# The newest kernels that were built; nothing of the library but them and the tables.
KERNELS = $(addprefix $(firstword $(shell ls -td build/temp.*/ 2>/dev/null)),f*/csrc/isa_*.o common/csrc/dispatch.o common/csrc/tables*.o)
build/guard: tests/guard.c tests/guard_elements.h tests/guard_norms.h tests/guard_panels.h tests/guarded.h tests/oracle.c $(wildcard csrc/*.h $(KERNELS))
	$(CC) -std=c11 -O2 -g -ffp-contract=off -Wall -Wextra -Icsrc tests/guard.c $(wildcard $(KERNELS)) -o $@ -lm

# One call of a kernel, whose instructions tests/test_work.py has counted.
build/count: tests/count.c $(wildcard csrc/*.h $(KERNELS))
	$(CC) -std=c11 -O2 -Wall -Wextra -Icsrc tests/count.c $(wildcard $(KERNELS)) -o $@ -lm

# Ten thousand damaged files of models, of trainers, and of tables' models: each is loaded or refused, within 1 s and 100 MB.
fuzz: build
	FASTNN_FLIPS=10000 PYTHONPATH=$(CURDIR) $(PYTHON) -m pytest -q tests/test_files.py tests/test_checkpoints.py tests/test_table_model.py -k flipped_bytes_are

# Random calls on arrays that overlap, against the same calls on copies; 200,000 take four minutes.
alias: build
	PYTHONPATH=$(CURDIR) $(PYTHON) tests/alias.py $(ROUNDS) $(SEED)

# Trainings killed with SIGKILL at random moments of their saving; each leaves a whole checkpoint.
KILLS ?= 200
kill: build
	PYTHONPATH=$(CURDIR) $(PYTHON) tests/kill.py $(KILLS) $(SEED)

# Training on a mapped file of 2 GB with at most 100 MB allocated for it.
mapped: build
	PYTHONPATH=$(CURDIR) $(PYTHON) tests/mapped.py 2048 784

# Training by the plain recipe on a million rows and 100 columns of float64 (800 MB) with at most 500 MB allocated for it.
large: build
	PYTHONPATH=$(CURDIR) $(PYTHON) tests/large_table.py 1000000 100

# docs/tables.md: the recipes for tables beside scikit-learn's estimators, and what their intervals cover; ten minutes.
tables: build
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(PYTHON) bench/tables.py docs/tables.md

# Kernels, gates and files under AddressSanitizer and UndefinedBehaviorSanitizer, in a build of its own (Python itself leaks by
# design), and the pool under ThreadSanitizer. The report of a fault goes past pytest, which would swallow it.
SANITIZED = $(wildcard $(addprefix tests/test_,activations.py arguments.py files.py inference.py layers.py losses.py matmul.py network.py norms.py optimizers.py pointwise_losses.py row_losses.py))
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
sanitize:
	rm -rf build/sanitize
	CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(PYTHON) setup.py -q build --build-lib build/sanitize --build-temp build/sanitize/temp
	cd build/sanitize && LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so) $$($${CC:-gcc} -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=. $(PYTHON) -m pytest -q --capture=sys -p no:cacheprovider -c ../../pyproject.toml --rootdir ../.. \
		$(addprefix ../../,$(SANITIZED))
	$${CC:-gcc} -std=c11 -O1 -g -fsanitize=thread -Icsrc tests/race.c csrc/pool.c -o build/race -lpthread
	build/race

# The avx512 kernels on any CPU with AVX2 and FMA, in a copy of the tree where C functions stand for the intrinsics.
EMULATED = activations arguments bits losses matmul norms optimizers pointwise_losses row_losses
emulate: ROUNDS = 5000
emulate:
	rm -rf build/emulated
	$(PYTHON) tests/emulate_avx512.py build/emulated
	cd build/emulated && $(PYTHON) setup.py -q build_ext --inplace
	$(MAKE) -s -C build/emulated guard ROUNDS=$(ROUNDS)
	cd build/emulated && PYTHONPATH=$(CURDIR)/build/emulated $(PYTHON) -m fastnn verify
	cd build/emulated && FASTNN_ISA=avx512 PYTHONPATH=$(CURDIR)/build/emulated $(PYTHON) -m pytest -q -p no:cacheprovider \
		$(EMULATED:%=tests/test_%.py)

# Breaks the sources one place at a time in copies of the tree and expects the suite to turn red: in all places, which is
# long, or in SAMPLE of them drawn with SEED.
mutate:
	$(PYTHON) tests/mutate $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The errors of all activations over all 2^32 float32 numbers, and docs/accuracy.md; about an hour on two cores.
exhaustive: build
	PYTHONPATH=$(CURDIR) $(PYTHON) -m fastnn.accuracy --peers --float64 10000000 --markdown docs/accuracy.md

# Wheels in dist/ for Linux with glibc 2.17 or later, for each Python at hand, or for those of PYTHONS="python3.12 ...".
wheels:
	.ci/wheels $(PYTHONS)

clean:
	rm -rf build dist *.egg-info fastnn/*.so .pytest_cache .ruff_cache .hypothesis .benchmarks
