"""Networks in fewer bits, and how far their pictures are from those in f32."""

import torch
from torch.nn import functional as F

import quantized
from networks import Luma

NAMES = ("f32", "f16", "bf16", "int8")

# What the largest value of a pixel is taken for, at the least.
LEAST = 1e-30

# Where few bits show first: in skies and shadows. A block whose mean is off is seen as a band.
BLOCK = 64


def change(model, metadata, precision):
    """A network in that precision."""
    if precision == "int8" and isinstance(model, Luma):
        return quantized.Quantized(model, quantized.steps(metadata))
    if precision == "int8":
        for layer in products(model):
            in_bytes(layer)
    if precision == "f16":
        round_inputs(convolutions(model), torch.float16)
    if precision == "bf16":
        round_inputs(products(model), torch.bfloat16)
        for layer in products(model):
            layer.weight.data = layer.weight.bfloat16().float()
    return model


def convolutions(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]


def products(model):
    """What the CPU rounds: of luma all convolutions but the first, else the 1x1 ones."""
    if isinstance(model, Luma):
        return [*model.body, model.tail]
    return [m for m in convolutions(model) if m.kernel_size == (1, 1) and m.in_channels > 1]


def round_inputs(layers, type_):
    """Rounds what convolutions read, as a GPU stores it; sums stay in f32."""
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(type_).float(),))


def in_bytes(layer):
    """Rounds the weights of each output, and what the layer reads of each pixel, to 127 steps of
    either sign, the largest of them being the last."""
    layer.weight.data = counted(layer.weight.data, (1, 2, 3))
    layer.register_forward_pre_hook(lambda _, inputs: (counted(inputs[0], 1),))


def counted(values, axes):
    step = values.abs().amax(axes, keepdim=True).clamp(min=LEAST) / quantized.LARGEST_WEIGHT
    return (values / step).round() * step


def smooth():
    """Flats of every level and gentle ramps: codes as batches, 0..255."""
    levels = torch.arange(256.0)
    yield levels.view(-1, 1, 1, 1).expand(-1, 1, 36, 36)
    for width in (256, 512, 1024):
        x = torch.arange(width).expand(1, 1, 72, width)
        y = torch.arange(72).view(-1, 1)
        for way in (x, (x + y) // 2, (x - y + 72) // 2):
            ramp = way * 256 // width
            yield ramp.float()
            yield ramp.mT.float()


@torch.inference_mode()
def apart(model, other):
    """On smooth pictures: the largest difference in codes, and the largest of a block's mean."""
    codes = blocks = 0.0
    for picture in smooth():
        picture = picture.expand(-1, model.channels, -1, -1) / 255
        made = [(f(picture).clamp(0, 1) * 255).round() for f in (model, other)]
        difference = made[1] - made[0]
        if not difference.isfinite().all():
            raise SystemExit("a network makes what is not a number of a smooth picture")
        codes = max(codes, difference.abs().max().item())
        means = F.avg_pool2d(difference, BLOCK, BLOCK // 4)
        blocks = max(blocks, means.abs().max().item())
    return int(codes), blocks
