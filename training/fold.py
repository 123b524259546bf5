"""Over-parameterised 3x3 convolutions, folded before they run.

While training, the kernel of a 3x3 convolution is a sum of branches: a plain 3x3, a 1x1 into
more channels followed by a 3x3, and 1x1s followed by a Sobel-x, Sobel-y or Laplacian filter
scaled per output channel (Zhang et al., "Edge-oriented convolution block", 2021). There is no
batch norm between them, so the sum is itself a 3x3 kernel. It is formed from the branch weights
at each step, which costs little; the pictures only ever meet one convolution. The inner 1x1s
have no bias: with zero padding, only then is the folding exact at the border too.
"""

import torch
from torch import nn
from torch.nn import functional as F

EDGES = torch.tensor([
    [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
], dtype=torch.float32)


class WideConv(nn.Module):
    """Stands in for a 3x3 convolution; computes the same function as `plain` at first."""

    def __init__(self, plain, widen=2):
        super().__init__()
        cout, cin = plain.weight.shape[:2]
        middle = widen * cout
        # Adam moves every weight by the learning rate, whatever its gradient, and moves of
        # `middle` channels add up in the kernel: hence the small factors.
        self.squeeze = nn.Parameter(torch.randn(middle, cin) / middle)
        self.expand = nn.Parameter(torch.randn(cout, middle, 3, 3) / middle)
        self.edge_mix = nn.Parameter(torch.randn(3, cout, cin) * 0.1)
        self.edge_scale = nn.Parameter(torch.full((3, cout), 1e-3))
        self.register_buffer("edges", EDGES.clone(), persistent=False)
        self.bias = nn.Parameter(plain.bias.detach().clone())
        self.weight = nn.Parameter(torch.zeros_like(plain.weight))
        with torch.no_grad():
            self.weight.copy_(plain.weight - self.kernel())

    def kernel(self):
        """The one 3x3 kernel that all branches together amount to."""
        cout, middle = self.expand.shape[:2]
        taps = self.expand.permute(0, 2, 3, 1).reshape(-1, middle) @ self.squeeze
        chain = taps.view(cout, 3, 3, -1).permute(0, 3, 1, 2)
        mix = (self.edge_mix * self.edge_scale[:, :, None]).flatten(1)
        edge = (mix.t() @ self.edges.flatten(1)).view_as(self.weight)
        return self.weight + chain + edge

    def forward(self, x):
        return F.conv2d(x, self.kernel(), self.bias, padding=1)


def widen(model):
    """Replaces every full 3x3 convolution of `model` by a WideConv, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3) and child.groups == 1:
                setattr(parent, name, WideConv(child))
    return model


@torch.no_grad()
def plain_state(model):
    """The tensors of `model` under the names of the plain network, branches folded."""
    state = model.state_dict()
    for path, module in model.named_modules():
        if isinstance(module, WideConv):
            for name in ("squeeze", "expand", "edge_mix", "edge_scale"):
                del state[f"{path}.{name}"]
            state[f"{path}.weight"] = module.kernel()
    return state
