"""Writes a weights file from a checkpoint of train.py or from the authors' own file.

    python export.py luma-s-x2.pt ../models/luma-s-x2.safetensors
    python export.py DLGSANet_light_SRx2.pth out.safetensors --network dlgsanet-light --scale 2
"""

import argparse
from pathlib import Path

import torch

import weights
from networks import PRESETS, build, parameters
from networks.dlsn import make_rotations

# In the authors' DLSN files, and constants or unused there.
DROPPED = ("a", "sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")


def from_checkpoint(kept):
    """The averaged weights of our own training."""
    return kept["average"], kept["family"], kept["params"], kept["scale"]


def from_authors(kept, preset, scale, seed):
    """A plain or BasicSR-nested state dict, brought to our names and completed."""
    family, params = parameters(preset, scale)
    state = dict(kept.get("params_ema", kept.get("params", kept)))
    if family == "dlsn":
        for name in DROPPED:
            state.pop(name, None)
        # The authors draw rotations at every call; a stored set makes the network a function.
        generator = torch.Generator().manual_seed(seed)
        for m in range(params["n_modules"]):
            name = f"body.{m}.body.{params['n_resblocks']}.rotations"
            if name not in state:
                width = params["n_feats"] // params["reduction"]
                state[name] = make_rotations(params["n_hashes"], width, generator)
    return state, family, params, scale


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("source", help="checkpoint, or an authors' .pth")
    p.add_argument("target", help="weights file to write")
    p.add_argument("--network", choices=PRESETS, help="preset of an authors' file")
    p.add_argument("--scale", type=int, choices=(2, 3, 4), help="scale of an authors' file")
    p.add_argument("--seed", type=int, default=1, help="seed of DLSN's rotations")
    p.add_argument("--half", action="store_true", help="store half precision")
    options = p.parse_args()

    kept = torch.load(options.source, map_location="cpu", weights_only=True)
    if "average" in kept:
        state, family, params, scale = from_checkpoint(kept)
    elif options.network and options.scale:
        state, family, params, scale = from_authors(
            kept, options.network, options.scale, options.seed)
    else:
        raise SystemExit("an authors' file needs --network and --scale")
    # Loading it names every missing, unknown or misshapen tensor before a file is written.
    build(family, params, scale).load_state_dict(state)
    weights.save(options.target, state, family, params, scale, options.half, kept.get("flavour"))
    print(f"{options.target}: {Path(options.target).stat().st_size} bytes")


if __name__ == "__main__":
    main()
