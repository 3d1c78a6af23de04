# `make demo` and `make test` set everything up by themselves; nothing has to be installed by hand but
# Python 3.11 with venv, and for the C++ runtime a compiler and OpenSSL's headers.
#
# torch is pinned; which wheel of it pip takes is the index's choice. The CPU wheel is enough and far smaller:
# name PyTorch's CPU index in PIP_EXTRA_INDEX_URL or pip's configuration to get it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check
OUT    ?= out
CPP    := build/cpp
FUZZ   := build/cpp-fuzz
CPP_SOURCES = $(shell find runtime/cpp examples/cpp -name "*.cpp" -o -name "*.hpp" -o -name "*.h" -o -name "*.c")
# One test process a core, each with one thread: two would only wait for each other.
CORES  := $(shell nproc)
PYTEST := OMP_NUM_THREADS=1 V2V_CPP_BUILD=$(CPP) V2V_CPP_FUZZ=$(FUZZ) $(BIN)/pytest -n $(CORES) --dist loadfile
# The C++ runtime needs a C++20 compiler and OpenSSL's development files; CMake and Ninja come as wheels if missing.
CMAKE  = $(or $(shell command -v cmake),$(BIN)/cmake)
NINJA  = $(or $(shell command -v ninja),$(BIN)/ninja)
# Where the C++ build takes what it is made of: those that are set reach CMake each time, which keeps what it was given.
ROOTS  := ONNXRUNTIME_ROOT NLOHMANN_JSON_ROOT TENSORRT_ROOT CUDAToolkit_ROOT
roots  = $(foreach root,$(ROOTS),$(if $($(root)),-D$(root)=$(abspath $($(root)))))
TIDY   := clang-tidy==21.1.6
FUZZ_SECONDS ?= 600
# What the fuzzers are built with: the clang and clang++ in the folder CLANG, else those of Debian's package files.
CLANG  ?=
clang  = $(or $(abspath $(CLANG)),$$($(BIN)/python runtime/cpp/tools/fetch_packages.py $(abspath build) clang)/bin)

.DEFAULT_GOAL := help
.PHONY: help setup test lint types unit browser cpp cpp-build cpp-tools cpp-tidy cpp-asan cpp-tsan cpp-fuzz fuzzers demo bench \
  bench-real bench-machine bench-memory bench-compare clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(STAMP): constraints.txt pyproject.toml runtime/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e "./runtime[cpu,video,prompt]" -e ".[rtx,demo,dev]"
	@touch $@

setup: $(STAMP)  ## make the virtual environment .venv

test: lint types unit  ## ruff, clang-format, mypy --strict, the C++ runtime and all tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --style=file:runtime/cpp/.clang-format --dry-run -Werror $(CPP_SOURCES)

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP) cpp-build fuzzers browser
	$(PYTEST)

# The pages that v2v-export writes are opened in a real browser; without Node.js those tests say so and skip.
browser: tests/browser/node_modules/.installed  ## install the browser that tests open pages in (Chromium, by npm)

tests/browser/node_modules/.installed: tests/browser/package.json
	@if command -v npm > /dev/null; then cd tests/browser && npm install --silent && touch node_modules/.installed; fi

cpp: cpp-build fuzzers  ## build the C++ runtime in build/cpp and test it
	$(PYTEST) tests/cpp

cpp-tools: $(STAMP)
	@test -x "$(CMAKE)" || $(PIP) install --quiet "cmake>=3.25,<5"
	@test -x "$(NINJA)" || $(PIP) install --quiet "ninja>=1.11,<2"

cpp-build: cpp-tools
	@$(if $(roots),,test -f $(CPP)/build.ninja ||) $(CMAKE) -S runtime/cpp -B $(CPP) -G Ninja -DCMAKE_MAKE_PROGRAM=$(NINJA) \
	  -DCMAKE_BUILD_TYPE=Test -DPython3_EXECUTABLE=$(abspath $(BIN))/python $(roots)
	@$(CMAKE) --build $(CPP)

cpp-tidy: cpp-build  ## clang-tidy over the C++ runtime, some minutes; the tool is taken as a wheel
	@$(PIP) install --quiet "$(TIDY)"
	$(BIN)/python -c "import json; print(*sorted({e['file'] for e in json.load(open('$(CPP)/compile_commands.json'))}))" \
	  | xargs -n 1 -P $(CORES) $(BIN)/clang-tidy -p $(CPP) --quiet --extra-arg=-Wno-unknown-warning-option

# The presets of runtime/cpp/CMakePresets.json: configured, built in build/, tested.
preset = cd runtime/cpp && export PATH="$(abspath $(BIN)):$$PATH" && cmake --preset $(1) $(roots) && cmake --build --preset $(1)

cpp-asan:  ## build and test the C++ runtime with AddressSanitizer and UndefinedBehaviorSanitizer
cpp-tsan:  ## the same with ThreadSanitizer
cpp-asan cpp-tsan: cpp-%: cpp-tools
	$(call preset,$*) && ctest --preset $*

# CMake keeps the compiler that it was given first: what another one was given for is made anew.
fuzz_preset = { grep -qs "^CMAKE_CXX_COMPILER:.*=$$clang/clang++$$" $(FUZZ)/CMakeCache.txt || rm -rf $(FUZZ); } \
	  && export CC="$$clang/clang" CXX="$$clang/clang++" && $(call preset,fuzz)

# A short run of the fuzzers is among the tests; where Clang cannot be had it says so and skips.
fuzzers: cpp-tools  ## build the C++ runtime's fuzzers in build/cpp-fuzz, with Clang's libFuzzer
	@if clang="$(clang)"; then $(fuzz_preset) --target v2v_fuzz v2v_fuzz_bundle; else rm -rf $(FUZZ); fi

cpp-fuzz: cpp-tools  ## build and test the C++ runtime with Clang, then fuzz for FUZZ_SECONDS of processor time (600)
	@clang="$(clang)" && $(fuzz_preset) && ctest --preset fuzz
	PYTHONPATH=tests $(BIN)/python benchmarks/fuzz.py $(FUZZ) --seconds $(FUZZ_SECONDS)

demo: $(STAMP)  ## build the demo's bundle, translate a video with it, print what was measured
	$(BIN)/v2v-export demo --out $(OUT)/demo

bench: $(STAMP)  ## the demo's stream against PyTorch and against the full teacher
	$(BIN)/v2v-export bench $(OUT)/demo/demo.v2v

bench-real: $(STAMP)  ## parity, speed and memory at the real sizes; about two hours on 2 cores
	$(BIN)/python benchmarks/real_size.py

bench-machine: $(STAMP) cpp-build  ## the machine's own cost per step at 20, 80 and 160 slots, in Python and C++
	$(BIN)/python benchmarks/machine.py --cpp $(CPP)

bench-memory: $(STAMP) cpp-build  ## what 1000 opened bundles and 10 000 streams of the C++ runtime leave in memory
	PYTHONPATH=tests $(BIN)/python benchmarks/cpp_memory.py $(CPP)

bench-compare: $(STAMP)  ## how often `compare` is right, and how long it takes; an hour on a machine with nothing else to do
	$(BIN)/python benchmarks/operating_points.py
	$(BIN)/python benchmarks/slow_frames.py

clean:  ## remove what the targets made here (not the build cache in the user's cache folder)
	rm -rf $(VENV) $(OUT) $(CPP) $(CPP)-* build/clang-* .pytest_cache .mypy_cache .ruff_cache
