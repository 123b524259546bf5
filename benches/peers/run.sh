#!/usr/bin/env bash
# Times srupscale beside the other CPU runtimes; installs those into target/peers/venv and nowhere else.
# usage: benches/peers/run.sh [options of run.py; --help lists them]
set -euo pipefail
cd "$(dirname "$0")"
root=$(realpath ../..)
target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/peers
python=$out/venv/bin/python
mkdir -p "$out"

if ! cmp -s requirements.txt "$out/installed.txt"; then
  [ -x "$python" ] || python3 -m venv "$out/venv"
  echo "installing the runtimes into $out/venv: about 6 GB" >&2
  if ! "$python" -m pip install --quiet -r requirements.txt; then
    # One by one, so that one that cannot be had costs no other.
    while read -r package; do
      "$python" -m pip install --quiet "$package" || echo "$package cannot be installed: what needs it is left out" >&2
    done < <(grep -v '^#' requirements.txt)
  fi
  cp requirements.txt "$out/installed.txt"
fi

(cd "$root" && cargo build --quiet --release -p srup-benches --bin contender)
exec "$python" run.py --out "$out" --binary "$target/release/contender" "$@"
