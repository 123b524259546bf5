#!/usr/bin/env bash
# Brings a Debian machine to where srupscale builds and runs: installs the packages that are missing, checks Rust.
# usage: scripts/setup.sh [build|run|test|demo]     build is what the others need too
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
modules=()
for name in gstreamer-1.0 gstreamer-app-1.0 gstreamer-check-1.0 gstreamer-video-1.0; do modules+=("$name >= 1.22"); done
# Those of FFmpeg 5.1.
modules+=("libavcodec >= 59.37" "libavfilter >= 8.44" "libavformat >= 59.27" "libavutil >= 57.28" "libswscale >= 6.7")
if [ "$purpose" != build ]; then
  # To play, encode and mux, in pipelines and in `live`.
  packages+=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-libav)
  commands+=(gst-launch-1.0 gst-inspect-1.0)
fi
case $purpose in
  # Screen and sound; nothing that is tested needs them.
  run) packages+=(gstreamer1.0-x gstreamer1.0-alsa) ;;
  # pip fetches the demo's clip and the compiler of the CUDA kernels.
  test | demo)
    packages+=(python3 python3-pip ffmpeg)
    commands+=(python3 ffmpeg ffprobe)
    ;;
esac

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

# The places where bindgen looks for it.
has_libclang() {
  local known
  known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
  [ -e "${LIBCLANG_PATH:-/nowhere}" ] || [[ $known == *libclang[-.][0-9s]* ]] ||
    compgen -G "$(llvm-config --libdir 2>/dev/null || echo '/usr/lib*/llvm*/lib*')/libclang[-.][0-9s]*" >/dev/null
}

# Where there is no Debian: what the packages would bring must be there already.
check_without_dpkg() {
  local missing=() name
  for name in "${commands[@]}"; do
    command -v "$name" >/dev/null || missing+=("$name")
  done
  has_libclang || missing+=("libclang (set LIBCLANG_PATH to its folder if it is there)")
  [ ${#missing[@]} -eq 0 ] ||
    fail "no dpkg here, so nothing was installed. Not found: ${missing[*]}. On Debian these packages have it all: ${packages[*]}"
}

check_libraries() {
  local missing=() module found
  for module in "${modules[@]}"; do
    pkg-config --exists "$module" 2>/dev/null && continue
    found=$(pkg-config --modversion "${module%% *}" 2>/dev/null || echo "not found by pkg-config")
    missing+=("$module ($found)")
  done
  local IFS=,
  [ ${#missing[@]} -eq 0 ] ||
    fail "GStreamer 1.22 and FFmpeg 5.1 or newer are needed, with their headers, as Debian 12 has them; here: ${missing[*]}"
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
check_libraries
check_rust
