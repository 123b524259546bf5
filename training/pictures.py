"""Pictures in and out: reading, luma, reduction, and the training set as one flat atlas."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp"}
LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255  # BT.601, limited range


def find(folder):
    """All picture files below a folder, in a fixed order."""
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in ENDINGS)
    if not files:
        raise SystemExit(f"no pictures in {folder}")
    return files


def read(path, scale):
    """An RGB picture, cut so that the scale divides its sides."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    return picture.crop((0, 0, width - width % scale, height - height % scale))


def reduce(picture, scale):
    """The low-resolution version: Pillow's antialiased bicubic."""
    return picture.resize((picture.width // scale, picture.height // scale), Image.BICUBIC)


def luma(picture):
    """Y in code values (16..235), not rounded, [H,W] f64."""
    return np.asarray(picture, np.float64) @ LUMA_WEIGHTS + 16


def pair(picture, scale, channels):
    """Low and high resolution samples as arrays [H,W,channels].

    Y of the low resolution is rounded because a stream carries whole codes; the target is not,
    as rounding would only add noise to it.
    """
    small = reduce(picture, scale)
    if channels == 3:
        return np.asarray(small), np.asarray(picture)
    low = np.rint(luma(small)).astype(np.uint8)
    return low[..., None], luma(picture).astype(np.float32)[..., None]


class Atlas:
    """Every pixel of the training set in one flat tensor per resolution, on one device.

    A crop is a gather with indices computed on that device, flips and transposes included, so
    the host touches no pixel after loading and pictures may differ in size.
    """

    def __init__(self, folder, scale, channels, device, degrade=None):
        """`degrade` makes lists of other low-resolution pictures out of the list of the clean."""
        self.scale, self.device = scale, device
        files = find(folder)
        # Even sides, as 4:2:0 has them.
        pairs = [pair(read(p, 2 * scale), scale, channels) for p in files]
        sides = ((min(low.shape[:2]), str(path)) for (low, _), path in zip(pairs, files))
        self.least, self.smallest = min(sides)
        clean = [low for low, _ in pairs]
        forms = [clean, *(degrade(clean) if degrade else [])]
        self.low = self._flat([low for form in forms for low in form])
        self.forms = len(forms)
        self.high = self._flat([high for _, high in pairs])
        shapes = torch.tensor([low.shape[:2] for low, _ in pairs])
        areas = shapes.prod(1)
        self.offsets = (areas.cumsum(0) - areas).to(device)
        self.heights, self.widths = shapes.to(device).unbind(1)

    def _flat(self, arrays):
        flat = np.concatenate([a.reshape(-1, a.shape[2]) for a in arrays])
        return torch.from_numpy(flat).to(self.device)

    def batch(self, count, side, generator):
        """`count` random crops, low [count,C,side,side] and high, both in 0..1."""
        if side > self.least:
            raise SystemExit(f"{self.smallest} is too small for crops of {side} pixels, reduced by "
                             f"{self.scale}: take it out, or give a smaller --crop")

        def draw(low, high):
            unit = torch.rand(count, generator=generator, device=self.device)
            return low + (unit * (high - low)).long()

        which = draw(0, len(self.offsets))
        top = draw(0, self.heights[which] - side + 1)
        left = draw(0, self.widths[which] - side + 1)
        turns = torch.randint(2, (3, count), generator=generator, device=self.device).bool()
        form = draw(0, self.forms) if self.forms > 1 else 0
        offset = self.offsets[which] + form * (len(self.low) // self.forms)
        low = self._crop(self.low, offset, self.widths[which], top, left, side, turns)
        s = self.scale
        high = self._crop(self.high, self.offsets[which] * s * s, self.widths[which] * s,
                          top * s, left * s, side * s, turns)
        return low, high

    def _crop(self, pixels, offset, width, top, left, side, turns):
        line = torch.arange(side, device=self.device).expand(len(offset), side)
        rows = torch.where(turns[0][:, None], side - 1 - line, line) + top[:, None]
        columns = torch.where(turns[1][:, None], side - 1 - line, line) + left[:, None]
        index = (offset[:, None] + rows * width[:, None])[:, :, None] + columns[:, None, :]
        index = torch.where(turns[2][:, None, None], index.transpose(1, 2), index)
        crop = pixels[index.flatten()].view(len(offset), side, side, -1)
        return crop.permute(0, 3, 1, 2).float() / 255
