"""Times the networks in PyTorch on a CUDA device, at its best settings, for the table beside srupscale's own times.

    python torch_times.py --out torch.json [--seconds 240] [--networks luma-s sdan] [--sizes 960x540]

fp16, channels-last, scale 2: once eagerly, once by torch.compile with max-autotune, which captures CUDA graphs. Each
figure is the median of many runs by CUDA events, in milliseconds; the input lies on the device already. What the time
limit does not allow is left out, and said.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from networks import build_preset  # noqa: E402

NETWORKS = ("luma-s", "luma-m", "luma-l", "sdan-small", "sdan")
SIZES = ("640x360", "960x540", "1280x720", "1920x1080")
WARM_UP, RUNS = 10, 60


def milliseconds(run, picture):
    """Median time of one call."""
    for _ in range(WARM_UP):
        run(picture)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(RUNS + 1)]
    torch.cuda.synchronize()
    marks[0].record()
    for mark in marks[1:]:
        run(picture)
        mark.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in zip(marks, marks[1:]))


def settings(network):
    """The ways to run a network, slowest to prepare last."""
    yield "eager", network
    yield "compiled", torch.compile(network, mode="max-autotune", dynamic=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--seconds", type=float, default=240, help="no further measurement begins after this time")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no CUDA device")
    end = time.monotonic() + options.seconds
    torch.backends.cudnn.benchmark = True
    found, left_out = [], []
    for name in options.networks:
        network = build_preset(name, 2).eval().half().cuda().to(memory_format=torch.channels_last)
        for size in options.sizes:
            width, height = map(int, size.split("x"))
            picture = torch.rand(1, network.channels, height, width, dtype=torch.half, device="cuda")
            picture = picture.to(memory_format=torch.channels_last)
            # Each size is compiled for itself: the caches of the compiler would otherwise fill up.
            torch._dynamo.reset()
            for setting, run in settings(network):
                if time.monotonic() > end:
                    left_out.append(f"{name} {size} {setting}")
                    continue
                with torch.inference_mode():
                    took = milliseconds(run, picture)
                found.append({"network": name, "size": size, "setting": setting, "ms": took})
                print(f"{name} {size} {setting}: {took:.3f} ms", flush=True)
    if left_out:
        print("left out for lack of time: " + ", ".join(left_out))
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "times": found, "left_out": left_out}
    Path(options.out).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
