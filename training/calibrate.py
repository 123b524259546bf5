"""Measures how large the values inside a luma network become, for the engine's integers.

    python calibrate.py ../models/luma-s-x2.safetensors PHOTOS SCREENS

Pictures are files or folders; flats, ramps, edges and textures, drawn here, are added to them.
The largest value of each channel goes into the file's metadata as `activations`: channels are
parted by commas, layers by semicolons, in the order head, body.0, ...; the last includes the
head's skip. `int8_loss` is taken out, for evaluate.py to record it anew; all else in the file stays.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import pictures
import weights

# A channel that the pictures hardly wake may rise to this share of its layer's largest value.
FLOOR = 1 / 16

# Edges have all the contrast of video in limited range. Textures of single pixels would raise
# values to twice those of any photograph, and the steps with them: they have three quarters of it.
BLACK, WHITE = 16, 235
DARK, LIGHT = 48, 208


def drawn():
    """Flats of every level, ramps of many slopes, hard edges, fine textures: batches in 0..1."""
    levels = torch.arange(256.0)
    flats = levels.view(-1, 1, 1, 1).expand(-1, 1, 24, 24)

    y, x = torch.meshgrid(levels[:64], levels, indexing="ij")
    slopes = (0.25, 0.5, 1, 2, 4, 16)
    ramps = [(way * slope).round() % 510 for way in (x, x + y, x - y + 63) for slope in slopes]
    ramps = [255 - (ramp - 255).abs() for ramp in ramps]  # up and down again
    ramps += [255 - ramp for ramp in ramps]

    y, x = torch.meshgrid(torch.arange(-24.0, 24), torch.arange(-24.0, 24), indexing="ij")
    edges = [way > 0 for way in (x, y, x + y, x - y, -x, -y, -x - y, y - x)]
    edges = [BLACK + (WHITE - BLACK) * e.float() for e in edges]

    noise = torch.rand(48, 48, generator=torch.Generator().manual_seed(1)) > 0.5
    textures = [x % 2 > 0, y % 2 > 0, (x + y) % 2 > 0, (x // 3 + y // 3) % 2 > 0,
                x == y, x == -y, (x % 12 == 0) & (y % 12 == 0), noise]
    textures = [DARK + (LIGHT - DARK) * t.float() for t in textures]
    textures += [DARK + LIGHT - t for t in textures]

    ramps, edges, textures = (torch.stack(t)[:, None] for t in (ramps, edges, textures))
    return [batch / 255 for batch in (flats, ramps, ramps.mT, edges, textures)]


def small(path, scale):
    """Y of a picture, reduced as the network sees it, [1,1,H,W]."""
    codes = np.rint(pictures.luma(pictures.reduce(pictures.read(path, scale), scale)))
    return torch.from_numpy(codes).float()[None, None] / 255


@torch.inference_mode()
def largest(model, batches):
    """The largest value of each channel, [C] for each layer."""
    found = None
    for x in batches:
        each = [layer.amax((0, 2, 3)) for layer in model.features(x)]
        found = each if found is None else list(map(torch.maximum, found, each))
    return [layer.clamp(min=FLOOR * layer.max()) for layer in found]


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("file", help="weights file of a luma network")
    p.add_argument("pictures", nargs="+", help="pictures, and folders of them")
    p.add_argument("--out", help="file to write (the same)")
    options = p.parse_args()

    model, metadata = weights.load_network(options.file)
    if metadata["network"] != "luma":
        raise SystemExit(f"{options.file}: only luma networks need what is measured here")
    files = [f for i in options.pictures for f in (pictures.find(i) if Path(i).is_dir() else [i])]
    batches = drawn() + [small(f, model.scale) for f in files]
    found = largest(model, batches)
    for i, layer in enumerate(found):
        name = f"body.{i - 1}" if i else "head"
        print(f"{name:8} largest {layer.max():6.3f}, of the least channel {layer.min():6.3f}")
    text = ";".join(",".join(f"{v:.4g}" for v in layer.tolist()) for layer in found)
    # What was measured with other steps holds no more.
    weights.annotate(options.file, options.out or options.file, activations=text, int8_loss=None)


if __name__ == "__main__":
    main()
