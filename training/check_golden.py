"""Runs every golden vector of a folder through the networks here; fails above 2e-5.

    python check_golden.py GOLDEN

The error is the largest difference, and the peak of the PSNR the range, of the stored output.
"""

import json
import sys
from pathlib import Path

import torch

import networks
from networks import blocks, dlgsanet, dlsn, sdan
from weights import load

BOUND = 2e-5


def operator(name, p):
    """The module of an operator case, or a function where it has no weights."""
    return {
        "gdfn": lambda: dlgsanet.GatedFeedForward(p["dim"]),
        "mhdlsa": lambda: dlgsanet.DynamicConv(p["dim"], p["window_size"], p["group_channels"]),
        "sparsegsa": lambda: dlgsanet.SparseAttention(p["dim"], p["heads"], p["tlc_kernel"]),
        "gla": lambda: dlsn.GlobalAttention(p["n_feats"], p["reduction"], p["chunk_size"],
                                            p["n_hashes"]),
        "layernorm": lambda: blocks.LayerNorm(p["dim"]),
        "mmlka": lambda: sdan.LargeKernelAttention(p["dim"], p["lka"]),
        "sdm": lambda: sdan.StarDistillation(p["dim"], p["steps"], p["distill"]),
        "pixelshuffle": lambda: torch.nn.PixelShuffle(p["s"]),
    }[name]()


@torch.inference_mode()
def compute(tensors, metadata):
    params = json.loads(metadata["preset"])
    x = tensors["input"][None]
    if metadata.get("op") == "dyndw":
        kernels = tensors["kernel"][None]
        return dlgsanet.dynamic_filter(x, kernels, params["window_size"],
                                       params["group_channels"])[0]
    if metadata["network"] == "op":
        model = operator(metadata["op"], params)
    else:
        model = networks.build(metadata["network"], params, int(metadata["scale"]))
    prefix = "weights."
    model.load_state_dict({n[len(prefix):]: t for n, t in tensors.items()
                           if n.startswith(prefix)})
    return model.eval()(x)[0]


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    files = sorted(Path(sys.argv[1]).glob("*.safetensors"))
    failed = 0
    for path in files:
        tensors, metadata = load(path)
        expected = tensors["output"]
        difference = (compute(tensors, metadata) - expected).double()
        span = (expected.max() - expected.min()).double()
        worst = (difference.abs().max() / span).item()
        psnr = -10 * torch.log10((difference / span).square().mean()).item()
        good = worst <= BOUND  # not so if it is no number
        failed += not good
        print(f"{path.stem:24} {worst:.1e}  {psnr:6.1f} dB  {'ok' if good else 'FAIL'}")
    print(f"{len(files) - failed} of {len(files)} pass")
    raise SystemExit(1 if failed or not files else 0)


if __name__ == "__main__":
    main()
