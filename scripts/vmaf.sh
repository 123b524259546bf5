#!/usr/bin/env bash
# Fetches an FFmpeg that has libvmaf, which Debian's lacks: the one that the Python package imageio-ffmpeg carries. Nothing of
# the package is installed. usage: scripts/vmaf.sh     its path is all that goes to stdout
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/vmaf
program=$folder/ffmpeg
sha256=e7e7fb30477f717e6f55f9180a70386c62677ef8a4d4d1a5d948f4098aa3eb99

fail() {
  echo "vmaf: $*" >&2
  exit 1
}

fetch() {
  echo "vmaf: fetching FFmpeg with pip, 29 MB" >&2
  rm -rf "$folder"
  PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip download -q --no-deps --only-binary :all: -d "$folder/download" \
    imageio-ffmpeg==0.6.0 >&2 || fail "pip could not fetch it; name an FFmpeg that has libvmaf with SRUP_FFMPEG"
  python3 -m zipfile -e "$folder"/download/imageio_ffmpeg-*.whl "$folder/download"
  mv "$folder"/download/imageio_ffmpeg/binaries/ffmpeg-* "$program"
  rm -rf "$folder/download"
  chmod +x "$program"
}

[ "$(uname -m)" = x86_64 ] || fail "only x86-64 is known here; name an FFmpeg that has libvmaf with SRUP_FFMPEG"
[ -f "$program" ] || fetch
echo "$sha256  $program" | sha256sum --check --status || fail "$program is damaged: remove it and run this again"
echo "$program"
