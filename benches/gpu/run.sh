#!/usr/bin/env bash
# Checks and times srupscale on a machine with an NVIDIA GPU. Needs the driver; Python 3 for the table, with PyTorch for
# the rival's times; compute-sanitizer (of the CUDA toolkit) for its checks. What is missing is said and left out.
# Results go to $OUT, or to results/ beside this script.
# usage: ./run.sh [seconds for PyTorch, 240 if not given]
# These narrow what is run, where it is slow or in doubt: SIZES="64x36", NETWORKS="luma-s", RUNS=2,
# VECTORS="golden/luma-s-x2.safetensors".
set -uo pipefail
cd "$(dirname "$0")"
out=${OUT:-results}
seconds=${1:-240}
read -ra sizes <<<"${SIZES:-640x360 960x540 1280x720 1920x1080}"
read -ra networks <<<"${NETWORKS:-luma-s luma-m luma-l sdan-small sdan}"
read -ra vectors <<<"${VECTORS:-golden}"
cases=(--networks "${networks[@]}" --sizes "${sizes[@]}")
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

has() { command -v "$1" >/dev/null; }

if has nvidia-smi; then
  step device nvidia-smi
else
  echo "no nvidia-smi here: the device is described by its name alone"
fi
if [ -z "${VECTORS:-}" ] && [ ! -d golden ]; then
  echo "no golden vectors here: results are not compared with the authors'"
else
  # Precision f16 sums in f32. What auto sums in depends on the device: here in f16, whatever it is, so that all kernels run.
  step golden-f16 bin/golden "${vectors[@]}" --backend cuda --precision f16
  step golden-auto env SRUP_CUDA_SUMS=f16 bin/golden "${vectors[@]}" --backend cuda --precision auto
fi
for sums in f32 f16; do
  step "frames-$sums" env SRUP_CUDA_SUMS=$sums bin/gpu --check
done
step gpu bin/gpu --out "$out/gpu.json" --runs "${RUNS:-200}" "${cases[@]}"

times=("$out/gpu.json")
if ! has python3; then
  echo "no Python here: PyTorch's times and the table are left out"
else
  if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    step torch python3 torch_times.py --out "$out/torch.json" --seconds "$seconds" "${cases[@]}"
    [ -f "$out/torch.json" ] && times+=("$out/torch.json")
  else
    echo "no PyTorch with CUDA here: its times are left out"
  fi
  step table python3 table.py --out "$out/times.md" "${times[@]}"
fi
if has compute-sanitizer; then
  for sums in f32 f16; do
    for tool in memcheck racecheck synccheck initcheck; do
      step "$tool-$sums" env SRUP_CUDA_SUMS=$sums compute-sanitizer --tool "$tool" --error-exitcode 1 \
        bin/gpu --out /dev/null --runs 1 --sizes 100x37
    done
  done
else
  echo "no compute-sanitizer here: its checks are left out"
fi

if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all is well; results are in $out"
