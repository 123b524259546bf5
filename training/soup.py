"""The mean of several trainings, each begun from another of them (model soup, Wortsman et al. 2022).

    python soup.py A.pt B.pt ... --out MEAN.pt
    python soup.py A.pt ../models/luma-m-x2.safetensors --out MEAN.pt

They lie in the same valley, so their mean does, too, and is a little better than each.
"""

import argparse
import json

import torch

import weights

KEPT = ("family", "params", "scale", "flavour")


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("trainings", nargs="+", help="checkpoints, or weights files of released ones")
    p.add_argument("--out", required=True, help="checkpoint to write, to export or to begin from")
    return p


def mean(checkpoints):
    """The averaged weights of checkpoints of one network, averaged once more."""
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if any(other[name] != first[name] for name in KEPT):
            raise SystemExit("the checkpoints are of different networks, scales or flavours")
    states = [checkpoint["average"] for checkpoint in checkpoints]
    average = {name: torch.stack([s[name].double() for s in states]).mean(0).to(tensor.dtype)
               for name, tensor in states[0].items()}
    return {name: first[name] for name in KEPT} | {"average": average}


def read(path):
    """What counts of a training."""
    if path.endswith(".pt"):
        return torch.load(path, map_location="cpu", weights_only=True)
    state, metadata = weights.load(path)
    return {"family": metadata["network"], "params": json.loads(metadata["preset"]),
            "scale": int(metadata["scale"]), "flavour": metadata.get("flavour"), "average": state}


def main():
    options = parser().parse_args()
    torch.save(mean([read(path) for path in options.trainings]), options.out)


if __name__ == "__main__":
    main()
