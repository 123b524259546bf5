"""Trains shapes of SDAN for the same time each, one after the other, and measures what each gives.

    python shapes.py --data PHOTOS --minutes 4 --out FOLDER SET5 SET14

Shapes that FOLDER already has a finished training of are only measured.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import crops
import pictures
from evaluate import run
from metrics import psnr, shave
from networks import build, parameters
from weights import load_network

# Parameters other than those of a preset.
FIRST = {"dim": 32, "blocks": 5, "lka": [[3, 7, 1], [5, 7, 3]]}  # what sdan-small was at first
SHAPES = {
    "sdan-small": ("sdan-small", {}),
    "first": ("sdan-small", FIRST),
    "wider and shallower": ("sdan-small", FIRST | {"dim": 48, "blocks": 2}),
    "narrower and deeper": ("sdan-small", FIRST | {"dim": 24, "blocks": 8}),
    "without channel norm": ("sdan-small", FIRST | {"norm": False}),
    "smaller large kernels": ("sdan-small", FIRST | {"lka": [[3, 5, 1], [3, 5, 2]]}),
    "Y only": ("sdan-small", FIRST | {"colors": 1}),
    "sdan": ("sdan", {}),
    "sdan, wider and shallower": ("sdan", {"dim": 72, "blocks": 4}),
}
TRAINING = ["--scale", "2", "--batch", "4", "--crop", "48", "--optimiser", "soap", "--rate", "3e-3",
            "--average", "0.99", "--psnr-share", "0.1", "--threads", "1"]


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("folders", nargs="+", help="folders of originals to measure on")
    p.add_argument("--data", required=True, help="folder of training pictures")
    p.add_argument("--minutes", type=float, default=4, help="length of each training")
    p.add_argument("--out", required=True, type=Path, help="folder for the checkpoints")
    p.add_argument("--only", action="append", help="the name of a shape (may be repeated)")
    return p


def train(name, options):
    """The checkpoint of a shape, trained if it is not there yet."""
    preset, params = SHAPES[name]
    target = options.out / f"{name.replace(' ', '-').replace(',', '')}.pt"
    command = [sys.executable, str(Path(__file__).with_name("train.py")), "--network", preset,
               "--params", json.dumps(params), "--data", options.data, *TRAINING,
               "--budget", str(options.minutes), "--out", str(target)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return target


def cost(name):
    """Parameters, and multiply-adds of all convolutions for a pixel of the input."""
    preset, params = SHAPES[name]
    family, base = parameters(preset, 2)
    model = build(family, base | params, 2)
    every = list(model.named_parameters())
    adds = sum(p.numel() for n, p in every if n.endswith("weight") and p.dim() == 4)
    return sum(p.numel() for _, p in every), adds


def quality(path, folder):
    """Mean PSNR of Y, and of R, G and B together; colours that a network lacks are Lanczos's."""
    model, _ = load_network(path)
    scale, scores = model.scale, []
    for file in pictures.find(folder):
        picture = pictures.read(file, scale)
        small = pictures.reduce(picture, scale)
        whole = crops.picture(model, small, scale)
        pairs = [(run(model, small), pictures.luma(picture)),
                 (np.asarray(whole, np.float64), np.asarray(picture, np.float64))]
        scores.append([psnr(shave(a, scale), shave(b, scale)) for a, b in pairs])
    return np.mean(scores, 0)


def main():
    options = parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| shape | parameters | multiply-adds a pixel | " + " | ".join(
        f"{Path(f).name}, Y | RGB" for f in options.folders) + " |")
    for name in options.only or SHAPES:
        path = train(name, options)
        scores = [quality(path, folder) for folder in options.folders]
        sizes = " | ".join(map(str, cost(name)))
        print(f"| {name} | {sizes} | " + " | ".join(
            f"{y:.2f} | {rgb:.2f}" for y, rgb in scores) + " |", flush=True)


if __name__ == "__main__":
    main()
