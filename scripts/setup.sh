#!/usr/bin/env bash
# Brings a Debian machine to where srupscale builds and runs: installs the packages that are missing, checks Rust.
# usage: scripts/setup.sh [build|test|demo]     build is what the others need too
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-build}
packages=(
  # To compile: libclang is what bindgen reads FFmpeg's headers with.
  gcc libc6-dev pkg-config libclang-dev
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswscale-dev
)
commands=(cc pkg-config)
modules=(gstreamer-1.0 gstreamer-app-1.0 gstreamer-check-1.0 gstreamer-video-1.0 libavcodec libavfilter libavformat libavutil libswscale)
if [ "$purpose" != build ]; then
  # To decode, encode and mux in tests and demo; pip fetches the demo's clip and the compiler of the CUDA kernels.
  packages+=(python3 python3-pip ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav)
  commands+=(python3 ffmpeg ffprobe gst-launch-1.0 gst-inspect-1.0)
fi

fail() {
  echo "setup: $*" >&2
  exit 1
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_missing_packages() {
  local missing=() name sudo=()
  for name in "${packages[@]}"; do
    installed "$name" || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local by_hand="apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null || fail "packages are missing and there is no apt-get to install them: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "packages are missing and there is no sudo; as root run: $by_hand"
    sudo=(sudo)
  fi
  echo "setup: installing with apt: ${missing[*]}"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || fail "apt-get update failed; when it works again run: $by_hand"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" || fail "apt-get could not install; as root run: $by_hand"
}

# Where there is no Debian: what the packages would bring must be there already.
check_without_dpkg() {
  local missing=() name
  for name in "${commands[@]}"; do
    command -v "$name" >/dev/null || missing+=("$name")
  done
  for name in "${modules[@]}"; do
    pkg-config --exists "$name" 2>/dev/null || missing+=("$name.pc")
  done
  [ ${#missing[@]} -eq 0 ] ||
    fail "no dpkg here, so nothing was installed. Not found: ${missing[*]}. On Debian these packages have it all: ${packages[*]}"
}

check_rust() {
  local least found
  least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  command -v cargo >/dev/null || fail "cargo is not on the PATH: install Rust $least or newer, see https://rustup.rs"
  found=$(cargo --version | cut -d' ' -f2)
  [ "$(printf '%s\n' "$least" "$found" | sort -V | head -n 1)" = "$least" ] ||
    fail "Rust $found is too old, $least or newer is needed: run 'rustup update stable', or see https://rustup.rs"
  [ "$purpose" = test ] || return 0
  if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then return 0; fi
  command -v rustup >/dev/null || fail "cargo fmt and cargo clippy are needed: install rustfmt and clippy for Rust $found"
  echo "setup: installing with rustup: rustfmt clippy"
  rustup component add rustfmt clippy || fail "rustup could not add rustfmt and clippy"
}

if command -v dpkg-query >/dev/null; then install_missing_packages; else check_without_dpkg; fi
check_rust
