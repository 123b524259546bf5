"""The quick forms give the outputs and gradients of the plain ones. Run `python -m pytest tests`."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import build_preset
from quick import (Depthwise, DilatedStrip, Pointwise, QuickDynamicConv, QuickFilterMaker,
                   QuickGlobalAttention, quicken)


def results(model, x):
    output = model(x)
    return output, torch.autograd.grad(output.square().mean(), list(model.parameters()))


@pytest.mark.parametrize("name, kinds", [
    ("sdan-small", {Pointwise, Depthwise, DilatedStrip}),
    ("dlgsanet-tiny", {Pointwise, QuickFilterMaker, QuickDynamicConv}),
    ("dlsn-light", {QuickGlobalAttention}),
    ("luma-s", set()),
])
@pytest.mark.parametrize("size", [(17, 23), (1, 19), (24, 12)])
def test_quick_forms_are_equal(name, kinds, size):
    torch.manual_seed(0)
    model = build_preset(name, 2).train()
    # Zeros of fresh biases would hide what becomes of them.
    for p in model.parameters():
        p.data += 0.02 * torch.randn_like(p)
    x = torch.rand(2, model.channels, *size)
    expected, expected_gradients = results(model, x)
    output, gradients = results(quicken(model), x)
    assert {type(m) for m in model.modules()} >= kinds
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    for (parameter, _), gradient, other in zip(model.named_parameters(), gradients,
                                               expected_gradients):
        error = (gradient - other).norm() / (other.norm() + 1e-6)
        assert error < 1e-3, f"{parameter}: {error}"
