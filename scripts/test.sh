#!/usr/bin/env bash
# Formatting, lints, documentation, tests. Every step runs, whatever failed before it, and each failed one is named.
# The last line is "N passed, N failed", with ", N skipped" where tests are ignored; a failed step other than the tests,
# or tests that did not come to their end, count as one failure each.
set -uo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target"
log=$target/test.log
: >"$log"
# A registry of its own: other jobs may run, and what they find is not what is tested here.
export GST_REGISTRY=$target/gstreamer-registry.bin

failures=()
times=()

step() {
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s: %s\n' "$name" "$*" | tee -a "$log"
  "$@" 2>&1 | tee -a "$log"
  local status=${PIPESTATUS[0]}
  times+=("$name $((SECONDS - start)) s")
  [ "$status" -eq 0 ] || failures+=("$name")
  return "$status"
}

if step setup scripts/setup.sh test; then
  step fmt cargo fmt --all --check
  step ptx python3 cuda/ptx.py --check
  step registers python3 cuda/ptx.py --registers
  step clippy cargo clippy --workspace --all-targets -- -D warnings
  step peers python3 -m unittest discover -s benches/peers/tests
  # With the examples, dependencies have the features that the lints compiled them with, and none is compiled anew.
  step doc env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --examples
  # Passed tests show what they print, or a test that skips aloud would do so unheard.
  step test cargo test --workspace --no-fail-fast -- --show-output
  # Three planted bugs that the tests must notice: they show that checks of kernels are awake. `make mutants` plants all.
  step mutants python3 scripts/mutants.py --first 3
fi

read -r passed failed ignored < <(awk '/^test result: / {
  for (i = 2; i < NF; i++) {
    if ($(i + 1) == "passed;") p += $i; else if ($(i + 1) == "failed;") f += $i; else if ($(i + 1) == "ignored;") s += $i
  }
} END { print p + 0, f + 0, s + 0 }' "$log")
for name in "${failures[@]}"; do
  if [ "$name" != test ] || [ "$failed" -eq 0 ]; then failed=$((failed + 1)); fi
done

printf '\n== summary\n'
printf '%s\n' "${times[@]}"
grep -hE '^test .*\.\.\. FAILED$' "$log" | sort -u
grep -h '^skipped: ' "$log" | sort | uniq -c
if [ ${#failures[@]} -gt 0 ]; then printf 'failed: %s\n' "${failures[@]}"; fi
summary="$passed passed, $failed failed"
if [ "$ignored" -gt 0 ]; then summary+=", $ignored skipped"; fi
echo "$summary" | tee "$target/test-summary"
[ "$failed" -eq 0 ]
