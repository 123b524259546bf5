"""luma: a plain chain of 3x3 convolutions on the Y plane."""

import torch
from torch import nn
from torch.nn import functional as F

from .blocks import conv, nearest


@torch.no_grad()
def start(layer):
    """Initial weights of a convolution before a ReLU.

    No layer sees a negative input, so by the sign of its sum a random kernel would be on
    everywhere or dead from the start. Without a sum it answers to structure.
    """
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    layer.weight -= layer.weight.mean((1, 2, 3), keepdim=True)
    nn.init.zeros_(layer.bias)


class Luma(nn.Module):
    channels = 1

    def __init__(self, scale, width, depth, head_skip):
        super().__init__()
        self.scale, self.head_skip = scale, head_skip
        self.head = conv(1, width, 3)
        self.body = nn.ModuleList(conv(width, width, 3) for _ in range(depth))
        self.tail = conv(width, scale * scale, 3)
        for layer in (self.head, *self.body):
            start(layer)

    def features(self, x):
        """What the head and each body layer give; the last includes the skip."""
        given = [F.relu(self.head(x))]
        for layer in self.body:
            given.append(F.relu(layer(given[-1])))
        if self.head_skip:
            given[-1] = given[-1] + given[0]
        return given

    def forward(self, x):
        last = self.features(x)[-1]
        return F.pixel_shuffle(self.tail(last), self.scale) + nearest(x, self.scale)
