"""Cuts large photographs into tiles to train on: reduced until sharp, the busiest parts only.

    python tiles.py PICTURES... --out TILES
    cd SOURCES && python .../tiles.py @.../photographs.txt --out TILES

Each picture is reduced twice, to fine and to coarse detail, because what a network meets has
both. Tiles that are flat, blurred or noisy teach nothing and are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from pictures import ENDINGS, luma

SIDE = 480  # twelve times 40: scales 2, 3 and 4 divide it, and even sides are left
SHORT_SIDES = (1440, 960)  # of the reduced pictures, pixels
LEAST_REDUCTION = 1.25  # less would keep what a camera or JPEG left between the pixels
LEAST_DETAIL = 2.0  # mean difference of neighbours, code values
LEAST_SHARPNESS = 0.3  # of the difference at one pixel, by that at two: 0.5 is a straight ramp
MOST_NOISE = 2.0  # mean difference of neighbours in the flattest tenth of blocks


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
                                fromfile_prefix_chars="@")
    p.add_argument("pictures", nargs="+", type=Path,
                   help="files, folders of them, or @ and a file that names one a line")
    p.add_argument("--out", required=True, type=Path, help="folder for the tiles")
    p.add_argument("--most", type=int, default=8, help="tiles of one reduced picture")
    return p


def files(paths):
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (p for p in inside if p.suffix.lower() in ENDINGS and p.is_file())


def reduced(picture):
    """The picture at each of the sizes that it is large enough for."""
    factors = {max(min(picture.size) / short, LEAST_REDUCTION) for short in SHORT_SIDES}
    for factor in sorted(factors):
        size = tuple(round(side / factor) for side in picture.size)
        if min(size) >= SIDE:
            yield picture.resize(size, Image.LANCZOS)


def detail(y):
    """Mean difference between neighbours, its ratio to that at two pixels, and the noise."""
    steps = np.abs(np.diff(y, axis=1))
    wide = np.abs(y[:, 2:] - y[:, :-2])
    blocks = steps[:, :-(steps.shape[1] % 16) or None].reshape(y.shape[0] // 16, 16, -1, 16)
    return steps.mean(), steps.mean() / (wide.mean() + 1e-9), np.quantile(
        blocks.mean((1, 3)), 0.1)


def good_tiles(picture, most):
    """The busiest tiles of a picture, as boxes that do not overlap."""
    y = luma(picture)
    found = []
    for top in range(0, picture.height - SIDE + 1, SIDE):
        for left in range(0, picture.width - SIDE + 1, SIDE):
            busy, sharp, noise = detail(y[top:top + SIDE, left:left + SIDE])
            grainy = noise > MOST_NOISE and noise > 0.5 * busy
            if busy >= LEAST_DETAIL and sharp >= LEAST_SHARPNESS and not grainy:
                found.append((busy, (left, top, left + SIDE, top + SIDE)))
    return [box for _, box in sorted(found, reverse=True)[:most]]


def main():
    options = parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    Image.MAX_IMAGE_PIXELS = None  # wallpapers of 200 megapixels are no attack
    count = 0
    for number, path in enumerate(files(options.pictures)):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for version in reduced(picture):
            for box in good_tiles(version, options.most):
                name = f"{number:04}_{version.width}_{box[0]}_{box[1]}.png"
                version.crop(box).save(options.out / name, compress_level=1)
                count += 1
    print(f"{count} tiles in {options.out}")


if __name__ == "__main__":
    main()
