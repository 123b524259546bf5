#!/usr/bin/env bash
# Checks and times srupscale on a machine with an NVIDIA GPU. Needs the driver; Python with PyTorch for the rival's times;
# compute-sanitizer (of the CUDA toolkit) for its checks. Results go to $OUT, or to results/ beside this script.
# usage: ./run.sh [seconds for PyTorch, 240 if not given]
set -uo pipefail
cd "$(dirname "$0")"
out=${OUT:-results}
seconds=${1:-240}
mkdir -p "$out"
failed=()

step() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$out/$name.log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$name")
  echo "== $name took $((SECONDS - start)) s"
}

step device nvidia-smi
for precision in f16 auto; do
  step "golden-$precision" bin/golden golden --backend cuda --precision "$precision"
done
step gpu bin/gpu --out "$out/gpu.json"
if python3 -c 'import torch' 2>/dev/null; then
  step torch python3 torch_times.py --out "$out/torch.json" --seconds "$seconds"
  step table bash -c "python3 table.py '$out/gpu.json' '$out/torch.json' >'$out/times.md' && cat '$out/times.md'"
else
  echo "no PyTorch here: its times are left out"
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 bin/gpu --out /dev/null --runs 1 --sizes 100x37
  done
else
  echo "no compute-sanitizer here: its checks are left out"
fi

if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all is well; results are in $out"
