"""The same layers in forms that a CPU trains faster; outputs, gradients and parameters are equal.

For PyTorch's backward passes of dilated and of 1x1 convolutions are slow there, and those of wide
depth-wise kernels, DLGSANet's dynamic filter moves a picture for each tap, and DLSN's scores pass
through memory a dozen times. One thread of a Zen 3, a step on 48x48: DLGSANet-tiny (2 pictures)
3.7 to 1.2 s, DLSN-light (2) 0.64 to 0.56 s; of a Zen 4 in bf16, SDAN-small (8) 0.24 to 0.15 s,
DLGSANet-tiny (4) 0.87 s.
"""

import torch
from torch import nn
from torch.nn import functional as F

from networks.blocks import LayerNorm
from networks.dlgsanet import DynamicConv, FilterMaker
from networks.dlsn import GlobalAttention


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as a matrix product over pixels."""

    def forward(self, x):
        y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 3, 1, 2)


class DepthwiseFunction(torch.autograd.Function):
    """Depth-wise convolution; oneDNN is slow at gradients of kernels of more than three columns."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        padding = [size // 2 for size in weight.shape[2:]]
        return F.conv2d(x, weight, bias, 1, padding, 1, len(weight))

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        height, width = weight.shape[2:]
        of_x = convolution_backward(gradient, x, weight, [True, False, False])[0]
        if height == 1:
            turned = (t.transpose(2, 3).contiguous(memory_format=torch.channels_last)
                      for t in (gradient, x, weight))
            of_weight = of_column(*turned).transpose(2, 3)
        elif width > 1:
            near = F.pad(x, (width // 2,) * 2)
            columns = (of_column(gradient, near[..., i:i + x.shape[3]], weight[..., i:i + 1])
                       for i in range(width))
            of_weight = torch.cat(list(columns), 3)
        else:
            of_weight = of_column(gradient, x, weight)
        return of_x, of_weight, gradient.sum((0, 2, 3)) if ctx.has_bias else None


def convolution_backward(gradient, x, weight, mask):
    padding = [size // 2 for size in weight.shape[2:]]
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], len(weight), mask)


def of_column(gradient, x, weight):
    return convolution_backward(gradient, x, weight, [False, True, False])[1]


class Depthwise(nn.Conv2d):
    def forward(self, x):
        return depthwise(x, self.weight, self.bias)


def depthwise(x, weight, bias):
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    bias = None if bias is None else bias.to(x.dtype)
    return DepthwiseFunction.apply(x, weight.to(x.dtype), bias)


class DilatedStrip(nn.Conv2d):
    """A dilated row or column of taps as a plain one over every `dilation`-th pixel."""

    def forward(self, x):
        axis = 2 if self.kernel_size[0] > 1 else 3
        step, length = self.dilation[0], x.shape[axis]
        # Zeros behind the picture are those that the convolution would put there.
        x = F.pad(x, (0, -length % step) if axis == 3 else (0, 0, 0, -length % step))
        parts = x.unflatten(axis, (-1, step)).movedim(axis + 1, 1)
        batch = parts.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        y = depthwise(batch, self.weight, self.bias)
        y = y.unflatten(0, parts.shape[:2]).movedim(1, axis + 1).flatten(axis, axis + 1)
        return y.narrow(axis, 0, length).contiguous(memory_format=torch.channels_last)


class PixelNorm(LayerNorm):
    """Layer norm over channels as one over the last side."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5).permute(0, 3, 1, 2)


class DynamicFilter(torch.autograd.Function):
    """`networks.dlgsanet.dynamic_filter` without a picture kept for each tap of the window.

    x is [B, groups, channels, H, W], kernels [B, groups, window², H, W].
    """

    @staticmethod
    def forward(ctx, x, kernels, window):
        ctx.save_for_backward(x, kernels)
        ctx.window = window
        near, total = padded(x, window), torch.zeros_like(x)
        for tap in range(window ** 2):
            total.addcmul_(kernels[:, :, tap, None], near[seen(x, tap, window)])
        return total

    @staticmethod
    def backward(ctx, gradient):
        x, kernels = ctx.saved_tensors
        window, gradient = ctx.window, gradient.contiguous()
        near = padded(x, window)
        of_near, of_kernels = torch.zeros_like(near), torch.empty_like(kernels)
        for tap in range(window ** 2):
            place = seen(x, tap, window)
            pixels, own = near[place], of_kernels[:, :, tap]
            torch.mul(gradient[:, :, 0], pixels[:, :, 0], out=own)
            for c in range(1, x.shape[2]):
                own.addcmul_(gradient[:, :, c], pixels[:, :, c])
            of_near[place].addcmul_(kernels[:, :, tap, None], gradient)
        return of_near[seen(x, window ** 2 // 2, window)], of_kernels, None


def padded(x, window):
    return F.pad(x, (window // 2,) * 4)


def seen(x, tap, window):
    """The part of padded `x` that this tap of the window sees."""
    dy, dx = divmod(tap, window)
    height, width = x.shape[-2:]
    return ..., slice(dy, dy + height), slice(dx, dx + width)


class QuickFilterMaker(FilterMaker):
    """Makes its many channels as `DynamicFilter` wants them, first side first."""

    def forward(self, x):
        x, last = self.conv1(x).contiguous(), self.conv2[0]
        weight = last.weight.flatten(1).expand(len(x), -1, -1)
        planes = torch.baddbmm(last.bias[:, None], weight, x.flatten(2))
        return planes.unflatten(2, x.shape[2:])


class QuickDynamicConv(DynamicConv):
    def forward(self, x):
        u = self.conv0(x)
        # In f32 even under autocast: PyTorch's sums of products in bf16 take four times as long.
        parts = (t.float().contiguous().unflatten(1, (u.shape[1] // self.group_channels, -1))
                 for t in (u, self.conv(u)))
        v = DynamicFilter.apply(*parts, self.window).flatten(1, 2)
        return self.conv1(v.contiguous(memory_format=torch.channels_last))


class SoftmaxAndTotal(torch.autograd.Function):
    """`GlobalAttention.weigh` with one picture of scores in place of several."""

    @staticmethod
    def forward(ctx, scores):
        most = scores.amax(-1, keepdim=True)
        weights = (scores - most).exp_()
        share = weights.sum(-1, keepdim=True)
        weights.div_(share)
        ctx.save_for_backward(weights)
        return weights, (share.log_() + most).squeeze(-1)

    @staticmethod
    def backward(ctx, of_weights, of_total):
        weights, = ctx.saved_tensors
        both = of_weights * weights
        change = of_total.unsqueeze(-1) - both.sum(-1, keepdim=True)
        return both.addcmul_(weights, change)


class QuickGlobalAttention(GlobalAttention):
    def weigh(self, scores):
        return SoftmaxAndTotal.apply(scores)


def quicken(model):
    """Takes the quick forms of all layers of `model` that have one; parameters stay as they are."""
    for module in model.modules():
        module.__class__ = quick_form(module)
    return model


def quick_form(module):
    if type(module) is LayerNorm:
        return PixelNorm
    if type(module) is DynamicConv:
        return QuickDynamicConv
    if type(module) is FilterMaker:
        return QuickFilterMaker
    if type(module) is GlobalAttention:
        return QuickGlobalAttention
    if type(module) is not nn.Conv2d:
        return type(module)
    if module.kernel_size == (1, 1) and module.groups == 1:
        return Pointwise
    if max(module.dilation) > 1 and 1 in module.kernel_size:
        return DilatedStrip
    if module.groups == module.in_channels > 1 and module.kernel_size[1] > 3:
        return Depthwise
    return nn.Conv2d
