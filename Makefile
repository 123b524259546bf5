# Everyday commands. On a fresh Debian bookworm with Rust they install what is missing.

SHELL := /bin/bash
CARGO ?= cargo
# Where rustup puts cargo: a shell that was open before the installation does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
PLUGINS := $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/gstreamer-1.0/plugins

.PHONY: help build test demo bench bench-operations bench-peers soak mutants gpu-bundle standin ptx vmaf install clean

help:
	@echo 'make demo              a clip upscaled 2x, into demo-out/; IN=file, MODEL=name and BACKEND=name choose'
	@echo 'make build             the GStreamer plugin and the examples, optimised; also installs what they play with'
	@echo 'make install           the plugin into $(PLUGINS)'
	@echo 'make test              formatting, lints, documentation, tests'
	@echo 'make bench             the benchmarks'
	@echo 'make bench-operations  each network on the CPU, operation by operation; ARGS=--help says more'
	@echo 'make bench-peers       our networks in other CPU runtimes, beside us; ARGS=--help says more'
	@echo 'make gpu-bundle        a folder that times, and with golden vectors checks, the networks on a machine with a GPU'
	@echo 'make vmaf              fetches an FFmpeg with libvmaf, for evaluate --clip; prints its path'
	@echo 'make soak              four minutes of live video on a quiet machine; SRUP_SOAK_CLIP=file takes a clip of yours'
	@echo 'make mutants           plants bugs one at a time and sees that the tests notice'
	@echo 'make ptx               the CUDA kernels anew, and their registers; only needed where kernels change'
	@echo 'make standin           a CUDA driver for tests that runs on the CPU; prints its folder'
	@echo 'make clean             removes everything that was built, and demo-out/'

build:
	@scripts/setup.sh run
	$(CARGO) build --release --workspace --examples --lib

test:
	@scripts/test.sh

demo:
	@scripts/demo.sh $(if $(IN),"$(IN)")

bench:
	@scripts/setup.sh build
	$(CARGO) bench -p srup-benches

bench-operations:
	@scripts/setup.sh build
	$(CARGO) run --release -p srup-benches --bin operations -- $(ARGS)

bench-peers:
	@scripts/setup.sh build
	@benches/peers/run.sh $(ARGS)

soak:
	@scripts/setup.sh test
	$(CARGO) test --release -p srup-tests --test soak --test live -- --ignored --nocapture --test-threads 1

mutants:
	python3 scripts/mutants.py

gpu-bundle:
	@scripts/gpu-bundle.sh

ptx:
	python3 cuda/ptx.py
	python3 cuda/ptx.py --registers

standin:
	$(CARGO) build --release -p ptx-standin
	install -D -m 755 $(TARGET)/release/libptx_standin.so $(TARGET)/standin/libcuda.so
	ln -sf libcuda.so $(TARGET)/standin/libcuda.so.1
	@realpath $(TARGET)/standin

vmaf:
	@scripts/vmaf.sh

install: build
	install -D -m 644 $(TARGET)/release/libgstsrupscale.so "$(PLUGINS)/libgstsrupscale.so"
	@echo 'try: gst-inspect-1.0 srupscale'

clean:
	$(CARGO) clean
	rm -rf demo-out
