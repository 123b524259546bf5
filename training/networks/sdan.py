"""SDAN: distillation by star products, and large-kernel attention from strip convolutions."""

import torch
from torch import nn
from torch.nn import functional as F

from .blocks import LayerNorm, conv, depthwise, nearest


class StarStep(nn.Module):
    """Distils `distill` channels and adds the product of two branches to the rest."""

    def __init__(self, dim, distill):
        super().__init__()
        self.split = (distill, dim, dim)
        self.pw = conv(dim, distill + 2 * dim, 1)
        self.dw = depthwise(dim, 3)

    def forward(self, rest):
        distilled, a, b = self.pw(rest).split(self.split, 1)
        return distilled, rest + F.relu6(a) * self.dw(b)


class StarDistillation(nn.Module):
    """SDM."""

    def __init__(self, dim, steps, distill):
        super().__init__()
        self.steps = steps
        for k in range(1, steps + 1):
            setattr(self, f"step{k}", StarStep(dim, distill))
        self.out = conv(steps * distill + dim, dim, 1)

    def forward(self, rest):
        parts = []
        for k in range(1, self.steps + 1):
            distilled, rest = getattr(self, f"step{k}")(rest)
            parts.append(distilled)
        return self.out(torch.cat([*parts, rest], 1))


class StripGroup(nn.Module):
    """A square depth-wise convolution, plus a dilated row and column pair on top of it."""

    def __init__(self, channels, square, strip, dilation):
        super().__init__()
        self.sq = depthwise(channels, square)
        self.h = depthwise(channels, (1, strip), dilation)
        self.v = depthwise(channels, (strip, 1), dilation)

    def forward(self, x):
        near = self.sq(x)
        return near + self.v(self.h(near))


class LargeKernelAttention(nn.Module):
    """MM-LKA: a gate whose channel groups look different distances far."""

    def __init__(self, dim, lka):
        super().__init__()
        self.groups = len(lka)
        self.proj_in = conv(dim, dim, 1)
        for j, shape in enumerate(lka):
            setattr(self, f"g{j}", StripGroup(dim // len(lka), *shape))
        self.mix = conv(dim, dim, 1)
        self.proj_out = conv(dim, dim, 1)

    def forward(self, x):
        p = F.gelu(self.proj_in(x))
        parts = [getattr(self, f"g{j}")(part) for j, part in enumerate(p.chunk(self.groups, 1))]
        return self.proj_out(p * self.mix(torch.cat(parts, 1)))


class Block(nn.Module):
    """RSDAM."""

    def __init__(self, dim, steps, distill, lka, norm):
        super().__init__()
        self.norm1 = LayerNorm(dim) if norm else nn.Identity()
        self.sdm = StarDistillation(dim, steps, distill)
        self.norm2 = LayerNorm(dim) if norm else nn.Identity()
        self.lka = LargeKernelAttention(dim, lka)

    def forward(self, x):
        x = x + self.sdm(self.norm1(x))
        return x + self.lka(self.norm2(x))


class Sdan(nn.Module):
    def __init__(self, scale, dim, blocks, steps, distill, lka, colors=3, norm=True):
        super().__init__()
        self.scale, self.channels = scale, colors
        self.head = conv(colors, dim, 3)
        self.blocks = nn.ModuleList(Block(dim, steps, distill, lka, norm) for _ in range(blocks))
        self.fuse = conv(blocks * dim, dim, 1)
        self.body_tail = conv(dim, dim, 3)
        self.tail = conv(dim, colors * scale * scale, 3)

    def forward(self, x):
        first = features = self.head(x)
        every = []
        for block in self.blocks:
            features = block(features)
            every.append(features)
        fused = F.gelu(self.fuse(torch.cat(every, 1)))
        features = self.body_tail(fused) + first
        return F.pixel_shuffle(self.tail(features), self.scale) + nearest(x, self.scale)
