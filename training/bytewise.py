"""Trains luma networks as they are computed in bytes, beside what they are in f32.

Rounding is real on the way forward and left out on the way back. A step's loss is that of the
f32 network, that of the bytes, and what the two are apart on flats and gentle ramps, where bytes
show first; flats are to stay at their level in both. The largest values, which set the steps of
the bytes, follow the weights as calibrate.py would find them.
"""

from types import SimpleNamespace

import torch
from torch.nn import functional as F

import calibrate
from fold import WideConv
from networks.blocks import nearest
from quantized import LEVELS, per_channel, quantize
from trainer import Trainer

CALIBRATE_EVERY = 200  # steps
SIDE = 32  # of a smooth picture: enlarged it is a block whose mean precisions.py measures
APART_SHARE = 3e-3  # weight of what bytes and f32 are apart, beside the losses on pictures


class Levels(torch.autograd.Function):
    """Rounds to whole steps of 0..LEVELS; gradients pass between the ends."""

    @staticmethod
    def forward(ctx, value, step):
        level = value / step
        ctx.save_for_backward((level > 0) & (level < LEVELS))
        return level.clamp_(0, LEVELS).round_().mul_(step)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def rounded(layer, before, after=None):
    """A convolution's kernel and bias, at the nearest that its bytes can hold."""
    weight = layer.kernel() if isinstance(layer, WideConv) else layer.weight
    with torch.no_grad():
        plain = SimpleNamespace(weight=weight, bias=layer.bias)
        whole, offset, unit = quantize(plain, before.double(), after)
        whole = whole * unit.view(-1, 1, 1, 1) / per_channel(before.double())
        moves = whole.float() - weight, (offset * unit).float() - layer.bias
    return weight + moves[0], layer.bias + moves[1]


def forward(model, steps, x):
    """What quantized.py computes, but for f32's roundings."""
    first = given = Levels.apply(model.head(x), per_channel(steps[0]))
    for layer, before, after in zip(model.body, steps, steps[1:]):
        value = F.conv2d(given, *rounded(layer, before, after.double()), padding=1)
        if model.head_skip and layer is model.body[-1]:
            value = F.relu(value) + first
        given = Levels.apply(value, per_channel(after))
    phases = F.conv2d(given, *rounded(model.tail, steps[-1]), padding=1)
    return F.pixel_shuffle(phases, model.scale) + nearest(x, model.scale)


def smooth(count, random, device):
    """Flats, and ramps of up to a code a pixel in any direction, in 0..1."""
    level, slope, turn = torch.rand(3, count, 1, 1, 1, generator=random, device=device)
    slope = torch.where(turn < 0.25, 0, slope)
    angle = turn * 8 * torch.pi
    line = torch.arange(SIDE, device=device) - SIDE / 2
    along = angle.cos() * line + angle.sin() * line[:, None]
    return (255 * level + slope * along).round().clamp(0, 255) / 255


def apart(exact, made):
    """How far two pictures of 0..1 are apart: the worst pixel of each beyond half a code, and
    the mean of each beside a fifth of one."""
    codes = 255 * (made - exact)
    worst, means = codes.abs().amax((1, 2, 3)), codes.mean((1, 2, 3))
    return F.relu(worst - 0.5).square().mean() + (means / 0.2).pow(4).mean()


def off_level(x, made, model):
    """How far enlarged flats are from their level, beyond 0.3 codes: then they round to it. Only
    where no pixel sees the picture's end."""
    scale, margin = model.scale, (len(model.body) + 2) * model.scale
    inner = slice(margin, -margin)
    codes = 255 * (made - nearest(x, scale))[..., inner, inner]
    flat = x.amax((1, 2, 3)) == x.amin((1, 2, 3))
    return (F.relu(codes.abs() - 0.3).square().mean((1, 2, 3)) * flat).mean()


class ByteTrainer(Trainer):
    """A training of both networks that a weights file of luma stands for."""

    def __init__(self, family, params, options, device):
        if family != "luma":
            raise SystemExit("--bytes: only luma networks run in bytes")
        super().__init__(family, params, options, device)
        self.steps = None

    def draw(self, atlas):
        pictures = super().draw(atlas)
        if self.steps is None or self.step % CALIBRATE_EVERY == 0:
            found = calibrate.largest(self.model, [*calibrate.drawn(), pictures[0]])
            self.steps = [layer / LEVELS for layer in found]
        # At least one for each worker.
        count = max(self.options.batch // 2, self.options.workers)
        return *pictures, smooth(count, self.random, self.device)

    def part(self, batch):
        low, high, even = batch
        with torch.autocast(self.device.type, torch.bfloat16, self.short):
            made = [self.run(low).float()]
        made.append(forward(self.model, self.steps, low))
        loss = sum(self.loss(picture, high) for picture in made) / 2
        loss = self.taught(low, made, loss)
        pair = self.run(even), forward(self.model, self.steps, even)
        levels = sum(off_level(even, picture, self.model) for picture in pair)
        loss = loss + APART_SHARE * (apart(*pair) + levels)
        return loss.detach(), torch.autograd.grad(loss, list(self.model.parameters()))
