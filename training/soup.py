"""The mean of several trainings, each begun from another of them (model soup, Wortsman et al. 2022).

    python soup.py A.pt B.pt ... --out MEAN.pt

They lie in the same valley, so their mean does, too, and is a little better than each.
"""

import argparse

import torch

KEPT = ("family", "params", "scale", "flavour")


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("checkpoints", nargs="+")
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


def main():
    options = parser().parse_args()
    loaded = [torch.load(path, map_location="cpu", weights_only=True)
              for path in options.checkpoints]
    torch.save(mean(loaded), options.out)


if __name__ == "__main__":
    main()
