"""DLGSANet (Li et al., ICCV 2023): dynamic depth-wise filters and sparse channel attention.

Module and tensor names are those of the authors' code, so that their weights load unchanged.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .blocks import LayerNorm, conv, depthwise, mean_rgb


class Norm(nn.Module):
    """Only here for the authors' tensor names (`norm1.body.weight`)."""

    def __init__(self, dim):
        super().__init__()
        self.body = LayerNorm(dim)

    def forward(self, x):
        return self.body(x)


class GatedFeedForward(nn.Module):
    """GDFN."""

    def __init__(self, dim):
        super().__init__()
        hidden = int(2 * dim)
        self.project_in = conv(dim, 2 * hidden, 1, bias=False)
        self.dwconv = depthwise(2 * hidden, 3, bias=False)
        self.project_out = conv(hidden, dim, 1, bias=False)

    def forward(self, x):
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(gate) * value)


def dynamic_filter(x, kernels, window, group_channels):
    """Depth-wise convolution whose kernel differs per pixel and group of channels.

    `kernels` is [B, groups * window², H, W]. A sum over shifted pictures needs no unfolded copy
    of x, which would be window² times as large.
    """
    b, c, h, w = x.shape
    groups = c // group_channels
    pad = window // 2
    padded = F.pad(x, (pad, pad, pad, pad)).view(b, groups, group_channels, h + 2 * pad, -1)
    kernels = kernels.view(b, groups, window * window, 1, h, w)
    total = 0
    for tap in range(window * window):
        dy, dx = divmod(tap, window)
        total = total + kernels[:, :, tap] * padded[..., dy:dy + h, dx:dx + w]
    return total.reshape(b, c, h, w)


class FilterMaker(nn.Module):
    """The small network that writes the dynamic filters."""

    def __init__(self, dim, groups, window):
        super().__init__()
        self.conv1 = nn.Sequential(conv(dim, dim // 4, 1), depthwise(dim // 4, window))
        self.conv2 = nn.Sequential(conv(dim // 4, groups * window * window, 1))

    def forward(self, x):
        return self.conv2(self.conv1(x))


class DynamicConv(nn.Module):
    """MHDLSA."""

    def __init__(self, dim, window_size, group_channels):
        super().__init__()
        self.window, self.group_channels = window_size, group_channels
        self.conv0 = conv(dim, dim, 1, bias=False)
        self.conv = FilterMaker(dim, dim // group_channels, window_size)
        self.conv1 = conv(dim, dim, 1, bias=False)

    def forward(self, x):
        u = self.conv0(x)
        return self.conv1(dynamic_filter(u, self.conv(u), self.window, self.group_channels))


def window_starts(length, kernel):
    """Starts of overlapping windows along one axis; the last one ends at the border."""
    k = min(length, kernel)
    count = (length - 1) // k + 1
    step = k if count == 1 else -((k - length) // (count - 1))
    starts = []
    start = 0
    while start + k < length:
        starts.append(start)
        start += step
    return [*starts, length - k]


class Windows:
    """Windows along one axis, each with what lies before and behind it."""

    def __init__(self, length, kernel):
        self.length, self.size = length, min(length, kernel)
        starts = window_starts(length, kernel)
        self.edges = [(start, length - start - self.size) for start in starts]

    def covers(self):
        """How many of them each place is in, [length]."""
        count = torch.zeros(self.length)
        for start, _ in self.edges:
            count[start:start + self.size] += 1
        return count


class SparseAttention(nn.Module):
    """SparseGSA: channel attention with ReLU in place of softmax."""

    def __init__(self, dim, heads, tlc_kernel):
        super().__init__()
        self.heads, self.kernel = heads, tlc_kernel
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv(dim, 3 * dim, 1, bias=False)
        self.qkv_dwconv = depthwise(3 * dim, 3, bias=False)
        self.project_out = conv(dim, dim, 1, bias=False)

    def attend(self, qkv):
        b, c3, h, w = qkv.shape
        q, k, v = qkv.reshape(b, 3, self.heads, -1, h * w).unbind(1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = F.relu(q @ k.transpose(-2, -1) * self.temperature)
        return (weights @ v).reshape(b, c3 // 3, h, w)

    def forward(self, x):
        qkv = self.qkv_dwconv(self.qkv(x))
        if self.training:
            # As the authors trained: the whole crop is one window.
            return self.project_out(self.attend(qkv))
        rows, columns = (Windows(length, self.kernel) for length in x.shape[2:])
        total = 0
        for top, below in rows.edges:
            for left, right in columns.edges:
                part = qkv[..., top:top + rows.size, left:left + columns.size]
                # A sum of padded parts, for exporters write out what is assigned to a slice badly.
                total = total + F.pad(self.attend(part), (left, right, top, below))
        return self.project_out(total / (rows.covers()[:, None] * columns.covers()).to(x))


class LocalLayer(nn.Module):
    def __init__(self, dim, window_size, group_channels):
        super().__init__()
        self.norm1 = Norm(dim)
        self.IDynamicDWConv = DynamicConv(dim, window_size, group_channels)
        self.norm2 = Norm(dim)
        self.IDynamic_ffn = GatedFeedForward(dim)

    def forward(self, x):
        x = x + self.IDynamicDWConv(self.norm1(x))
        return x + self.IDynamic_ffn(self.norm2(x))


class GlobalLayer(nn.Module):
    def __init__(self, dim, heads, tlc_kernel):
        super().__init__()
        self.norm3 = Norm(dim)
        self.restormer_attn = SparseAttention(dim, heads, tlc_kernel)
        self.norm4 = Norm(dim)
        self.restormer_ffn = GatedFeedForward(dim)

    def forward(self, x):
        x = x + self.restormer_attn(self.norm3(x))
        return x + self.restormer_ffn(self.norm4(x))


class Group(nn.Module):
    def __init__(self, dim, blocks, window_size, group_channels, heads, tlc_kernel):
        super().__init__()
        layers = []
        for _ in range(blocks):
            layers.append(LocalLayer(dim, window_size, group_channels))
            layers.append(GlobalLayer(dim, heads, tlc_kernel))
        self.body = nn.Sequential(*layers, conv(dim, dim, 3))

    def forward(self, x):
        return self.body(x) + x


class Embed(nn.Module):
    """Only here for the authors' tensor name `overlap_embed.0.proj.weight`."""

    def __init__(self, dim):
        super().__init__()
        self.proj = conv(3, dim, 3, bias=False)

    def forward(self, x):
        return self.proj(x)


class Dlgsanet(nn.Module):
    channels = 3

    def __init__(self, scale, dim, groups, blocks, window_size, group_channels, heads, tlc_kernel):
        super().__init__()
        self.overlap_embed = nn.Sequential(Embed(dim))
        self.deep_feature_extraction = nn.Sequential(
            *(Group(dim, blocks, window_size, group_channels, heads, tlc_kernel)
              for _ in range(groups)),
            conv(dim, dim, 3))
        self.upsample = nn.Sequential(conv(dim, 3 * scale * scale, 3), nn.PixelShuffle(scale))

    def forward(self, x):
        mean = mean_rgb(x)
        shallow = self.overlap_embed(x - mean)
        return self.upsample(self.deep_feature_extraction(shallow) + shallow) + mean
