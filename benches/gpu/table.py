"""Joins the times of srupscale and PyTorch on one device into a Markdown table.

    python table.py gpu.json torch.json > results.md
"""

import json
import sys
from pathlib import Path

# Milliseconds that a model of bytes and tensor rates predicts for an H200 at 1920x1080 x2 (cuda/README.md).
PREDICTED = {"luma-s": 0.13, "luma-m": 0.95, "sdan": 7.5}


def main():
    own, torch = (json.loads(Path(p).read_text()) for p in sys.argv[1:3])
    rival = {(t["network"], t["size"], t["setting"]): t["ms"] for t in torch["times"]}
    print(f"{own['device']}; PyTorch {torch['torch']}; scale 2, fp16, medians in milliseconds a frame\n")
    print("| network | input | kernels | predicted | PyTorch eager | PyTorch compiled | times as fast as the best |"
          " 1 lane | 2 lanes | 3 lanes |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for t in own["times"]:
        name, size = t["network"], t["size"]
        others = [rival.get((name, size, setting)) for setting in ("eager", "compiled")]
        known = [o for o in others if o is not None]
        ratio = f"{min(known) / t['kernels']:.1f}" if known else ""
        predicted = PREDICTED.get(name) if size == "1920x1080" else None
        cells = [f"{v:.3f}" if v is not None else "" for v in (t["kernels"], predicted, *others)]
        lanes = [f"{v:.3f}" for v in t["lanes"]]
        print("| " + " | ".join([name, size, *cells, ratio, *lanes]) + " |")
    if torch["left_out"]:
        print("\nNot measured for lack of time: " + ", ".join(torch["left_out"]) + ".")


if __name__ == "__main__":
    main()
