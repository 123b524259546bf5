"""luma: a plain chain of 3x3 convolutions on the Y plane."""

from torch import nn
from torch.nn import functional as F

from .blocks import conv, nearest


class Luma(nn.Module):
    channels = 1

    def __init__(self, scale, width, depth, head_skip):
        super().__init__()
        self.scale, self.head_skip = scale, head_skip
        self.head = conv(1, width, 3)
        self.body = nn.ModuleList(conv(width, width, 3) for _ in range(depth))
        self.tail = conv(width, scale * scale, 3)

    def forward(self, x):
        first = features = F.relu(self.head(x))
        for layer in self.body:
            features = F.relu(layer(features))
        if self.head_skip:
            features = features + first
        return F.pixel_shuffle(self.tail(features), self.scale) + nearest(x, self.scale)
