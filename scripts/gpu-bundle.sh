#!/usr/bin/env bash
# Packs what a machine with a GPU needs to time and check srupscale, with golden vectors where there are any: no Rust,
# GStreamer, FFmpeg or network there.
# usage: scripts/gpu-bundle.sh     the folder is the last line; run run.sh in it on the other machine
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
bundle=$target/gpu-bundle
vectors=${SRUP_SHARED:-../shared}/golden

scripts/setup.sh build
# At once: apart, they would have dependencies with other features, and everything be built twice.
cargo build --release -p srup-examples --example golden -p srup-benches --bin gpu
rm -rf "$bundle"
mkdir -p "$bundle/bin"
strip -o "$bundle/bin/golden" "$target/release/examples/golden"
strip -o "$bundle/bin/gpu" "$target/release/gpu"
shopt -s nullglob
golden=("$vectors"/{luma-,sdan-,op-sdm,op-mmlka,op-layernorm,op-pixelshuffle}*)
if [ ${#golden[@]} -gt 0 ]; then
  mkdir "$bundle/golden"
  cp "${golden[@]}" "$bundle/golden/"
else
  echo "gpu-bundle: no golden vectors at $vectors, so the bundle checks frames against the reference alone; for the authors' results see SRUP_SHARED in CONTRIBUTING.md"
fi
cp benches/gpu/run.sh benches/gpu/torch_times.py benches/gpu/table.py "$bundle/"
mkdir "$bundle/networks"
cp training/networks/*.py "$bundle/networks/"
if ldd "$bundle"/bin/* | grep -E 'libgst|libav'; then
  echo "gpu-bundle: a program needs libraries that the other machine does not have" >&2
  exit 1
fi
echo "gpu-bundle: $(du -sm "$bundle" | cut -f1) MiB"
echo "$bundle"
