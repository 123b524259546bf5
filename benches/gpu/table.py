"""Joins the times of srupscale and PyTorch on one device into a Markdown table; without PyTorch's, srupscale's alone.

    python table.py gpu.json [torch.json] [--out times.md]
"""

import argparse
import json
from pathlib import Path

# Milliseconds that a model of bytes and tensor rates predicts for an H200 at 1920x1080 x2 (cuda/README.md).
PREDICTED = {"luma-s": 0.20, "luma-m": 1.00, "luma-l": 3.20, "sdan-small": 1.61, "sdan": 5.11}


def lines(own, torch):
    rival = {(t["network"], t["size"], t["setting"]): t["ms"] for t in torch["times"]} if torch else {}
    against = f"PyTorch {torch['torch']}" if torch else "no PyTorch to compare with"
    yield f"{own['device']}; {against}; scale 2, fp16, medians in milliseconds a frame\n"
    yield ("| network | input | kernels | predicted | PyTorch eager | PyTorch compiled | times as fast as the best |"
           " 1 lane | 2 lanes | 3 lanes |")
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for t in own["times"]:
        name, size = t["network"], t["size"]
        others = [rival.get((name, size, setting)) for setting in ("eager", "compiled")]
        known = [o for o in others if o is not None]
        ratio = f"{min(known) / t['kernels']:.1f}" if known else ""
        predicted = PREDICTED.get(name) if size == "1920x1080" and "H200" in own["device"] else None
        cells = [f"{v:.3f}" if v is not None else "" for v in (t["kernels"], predicted, *others)]
        lanes = [f"{v:.3f}" for v in t["lanes"]]
        yield "| " + " | ".join([name, size, *cells, ratio, *lanes]) + " |"
    if torch and torch["left_out"]:
        yield "\nNot measured for lack of time: " + ", ".join(torch["left_out"]) + "."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("own", type=Path, help="what bin/gpu wrote")
    parser.add_argument("torch", type=Path, nargs="?", help="what torch_times.py wrote")
    parser.add_argument("--out", type=Path, help="file for the table, which is printed as well")
    options = parser.parse_args()
    own, torch = (json.loads(p.read_text()) if p else None for p in (options.own, options.torch))
    text = "\n".join(lines(own, torch)) + "\n"
    if options.out:
        options.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
