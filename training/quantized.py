"""Luma networks in small integers: the naive reference of what the engine computes.

A value of channel c in layer l is a whole number of 0..LEVELS and stands for that many times
steps[l][c]. `steps` come from the largest values that calibrate.py finds, all else from the
weights, in f64. Levels are bytes without a sign, weights bytes with one. Sums, a whole bias
included, are exact, and so is each times the f32 factor of its channel, until it is rounded once:
to a level, but to f32 where something is added or in the tail. Rounding goes to the nearest, halves
to the even. Only the head's f32 sums depend on their order, which is the engine's.
"""

import torch
from torch.nn import functional as F

from networks.blocks import nearest

LEVELS = 255
LARGEST_WEIGHT = 127
# The engine's Winograd convolution leaves sums TIMES as large and divides the factor by it: both
# ways give the same bits, as 9 = TIMES / 64 times a sum, or times FACTOR_BITS bits, fits f32's 24.
TIMES = 576
FACTOR_BITS = 20
LARGEST_SUM = 2**24 // 9 - 1
# Factors of layers with ReLU are multiples of this, and at most 1: a processor may then take its
# sums for floats beyond 2**23, where a product is rounded to a whole number.
FACTOR_STEP = 9 / 2**22


def per_channel(values):
    """[C] that multiplies feature maps."""
    return values.view(-1, 1, 1)


def steps(metadata):
    """What one level of each channel stands for, [C] (f64) for the head and each body layer."""
    text = metadata.get("activations")
    if text is None:
        raise SystemExit("no activations in the file; calibrate.py FILE PICTURES adds them")
    layers = [[float(v) for v in layer.split(",")] for layer in text.split(";")]
    # The engine reads f32.
    return [torch.tensor(layer).double() / LEVELS for layer in layers]


def quantize(layer, before, after=None):
    """Whole weights and biases, and what one unit of each output channel's sum stands for.

    The unit is the smallest with which weights and sums have their bounds, and with which `after`,
    the steps of a layer with ReLU, makes a factor that is allowed.
    """
    weight, bias = layer.weight.double() * per_channel(before), layer.bias.double()
    sides = [(sign * weight).clamp(min=0).sum((1, 2, 3)) for sign in (1, -1)]
    most = LEVELS * torch.maximum(*sides) + bias.abs()
    # Rounding may add half a unit for each weight.
    room = LARGEST_SUM - (LEVELS * weight[0].numel() / 2 + 1)
    unit = torch.maximum(weight.abs().amax((1, 2, 3)) / LARGEST_WEIGHT, most / room)
    unit = unit.clamp(min=1e-30)
    if after is not None:
        unit = (unit / after / FACTOR_STEP).ceil().clamp(min=1) * FACTOR_STEP * after
    return (weight / unit.view(-1, 1, 1, 1)).round(), (bias / unit).round(), unit


def short(unit):
    """The factor of the tail's sums: near the unit, and TIMES a number of FACTOR_BITS bits."""
    mantissa, exponent = torch.frexp(unit / TIMES)
    mantissa = (mantissa * 2**FACTOR_BITS).round()
    return (TIMES * torch.ldexp(mantissa, exponent.double() - FACTOR_BITS)).float()


def convolve(levels, weight, bias):
    """Exact: f64 holds every sum."""
    return F.conv2d(levels.double(), weight, bias, padding=1)


class Quantized:
    channels = 1

    @torch.no_grad()
    def __init__(self, model, steps):
        self.scale, first = model.scale, steps[0]
        # Levels of the head, each in steps of the layer that they are added to.
        self.skip = (first / steps[-1]).float() if model.head_skip else None
        self.head = ((model.head.weight / first.view(-1, 1, 1, 1)).float(),
                     (model.head.bias / first).float())
        self.layers = []
        for layer, before, after in zip(model.body, steps, steps[1:]):
            weight, bias, unit = quantize(layer, before, after)
            self.layers.append((weight, bias, (unit / after).float()))
        if any(factor.max() > 1 for *_, factor in self.layers):
            raise SystemExit("the activations are far too small for the weights; calibrate.py "
                             "measures them")
        weight, bias, unit = quantize(model.tail, steps[-1])
        self.layers.append((weight, bias, short(unit)))

    @staticmethod
    def values(levels, layer):
        """A layer's results in steps of the next, exact in f64."""
        weight, bias, factor = layer
        return convolve(levels, weight, bias) * per_channel(factor.double())

    def first(self, x):
        """The head's levels. Its sums begin with the bias and take one tap after the other, each
        with one rounding to f32: f64 holds the product, and all but never rounds the sum itself."""
        weight, bias = self.head
        height, width = x.shape[-2:]
        padded, total = F.pad(x, (1, 1, 1, 1)).double(), per_channel(bias)
        for tap, weights in enumerate(weight[:, 0].flatten(1).double().unbind(1)):
            row, column = divmod(tap, 3)
            seen = padded[..., row:row + height, column:column + width]
            total = (total + per_channel(weights) * seen).float()
        return total.clamp(0, LEVELS).round()

    def levels(self, x):
        """The whole numbers that the tail reads."""
        first = levels = self.first(x)
        for number, layer in enumerate(self.layers[:-1], 2):
            value = self.values(levels, layer).clamp(min=0)
            if self.skip is not None and number == len(self.layers):
                value = value.float() + first * per_channel(self.skip)
            levels = value.clamp(max=LEVELS).round().float()
        return levels

    @torch.no_grad()
    def __call__(self, x):
        phases = self.values(self.levels(x), self.layers[-1]).float()
        return F.pixel_shuffle(phases, self.scale) + nearest(x, self.scale)
