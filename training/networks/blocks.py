"""Small parts that more than one network family uses."""

import torch
import torch.nn.functional as F
from torch import nn

# Mean colour of the authors' training set; DLGSANet and DLSN take it off and add it back.
MEAN_RGB = (0.4488, 0.4371, 0.4040)


def conv(cin, cout, kernel, groups=1, dilation=1, bias=True):
    """A convolution that keeps the size; `kernel` is a side, or (rows, columns)."""
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (rows - 1) // 2, dilation * (columns - 1) // 2)
    return nn.Conv2d(cin, cout, (rows, columns), padding=padding, dilation=dilation,
                     groups=groups, bias=bias)


def depthwise(channels, kernel, dilation=1, bias=True):
    return conv(channels, channels, kernel, groups=channels, dilation=dilation, bias=bias)


def nearest(x, scale):
    return F.interpolate(x, scale_factor=scale, mode="nearest")


def mean_rgb(x):
    return torch.tensor(MEAN_RGB, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)


def layer_norm(x, weight, bias):
    """Normalises each pixel over its channels."""
    mean = x.mean(1, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(1, keepdim=True)
    y = centred * torch.rsqrt(variance + 1e-5)
    return y * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


class LayerNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return layer_norm(x, self.weight, self.bias)
