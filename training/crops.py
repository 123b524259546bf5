"""A picture's part as each network enlarges it, side by side: what decibels look like.

    python crops.py PICTURE LEFT TOP ../models/luma-s-x2.safetensors ... --out crops.png

LEFT and TOP are pixels of the original, which is first reduced by the scale, as evaluate.py does.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import evaluate
import metrics
import pictures
import weights

GAP = 6
TEXT = 16  # pixels


def picture(model, small, scale):
    """An RGB picture, enlarged; what a luma network does not see is Lanczos's, as in the engine."""
    high = evaluate.enlarge(model, small)
    if model.channels == 1:
        plain = small.resize((small.width * scale, small.height * scale), Image.LANCZOS)
        # The same change of Y in R, G and B leaves both colour differences as they are.
        change = (high - pictures.luma(plain)[..., None]) / pictures.LUMA_WEIGHTS.sum()
        high = np.asarray(plain, np.float64) + change
    return Image.fromarray(high.round().clip(0, 255).astype(np.uint8))


def label(name, guess, truth, scale):
    """The name and the Y-PSNR of the whole picture."""
    if guess is truth:
        return name
    both = (metrics.shave(pictures.luma(p), scale) for p in (guess, truth))
    return f"{name}  {metrics.psnr(*both):.2f} dB"


def sheet(panels, place, side, zoom, columns):
    """The same part of every picture, under its label."""
    cell = (side * zoom + GAP, side * zoom + TEXT + 2 * GAP)
    rows = -(-len(panels) // columns)
    out = Image.new("RGB", (columns * cell[0] + GAP, rows * cell[1] + GAP), "white")
    draw, font = ImageDraw.Draw(out), ImageFont.load_default(TEXT)
    for i, (name, whole) in enumerate(panels):
        left, top = GAP + i % columns * cell[0], GAP + i // columns * cell[1]
        part = whole.crop((*place, place[0] + side, place[1] + side))
        draw.text((left, top), name, "black", font)
        size = (side * zoom, side * zoom)
        out.paste(part.resize(size, Image.NEAREST), (left, top + TEXT + GAP))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("picture")
    p.add_argument("left", type=int)
    p.add_argument("top", type=int)
    p.add_argument("files", nargs="+", help="weights files or checkpoints of one scale")
    p.add_argument("--side", type=int, default=96, help="of the part, in pixels of the original")
    p.add_argument("--zoom", type=int, default=3)
    p.add_argument("--columns", type=int, default=3)
    p.add_argument("--out", required=True)
    options = p.parse_args()
    models = [(Path(f).stem, *weights.load_network(f)) for f in options.files]
    scales = {int(metadata["scale"]) for *_, metadata in models}
    if len(scales) > 1:
        p.error("the files are of different scales")
    scale = scales.pop()
    truth = pictures.read(options.picture, scale)
    small = pictures.reduce(truth, scale)
    guesses = [("original", truth), ("bicubic", small.resize(truth.size, Image.BICUBIC))]
    guesses += [(name, picture(model, small, scale)) for name, model, _ in models]
    panels = [(label(name, guess, truth, scale), guess) for name, guess in guesses]
    place = (options.left, options.top)
    sheet(panels, place, options.side, options.zoom, options.columns).save(options.out)


if __name__ == "__main__":
    main()
