"""Starts a network of Y as a trained one of R, G and B: on grey pictures it does the same."""

import torch

from pictures import LUMA_WEIGHTS

BLACK = 16 / 255  # Y of black, limited range
RANGE = float(LUMA_WEIGHTS.sum())  # of Y, for R = G = B from 0 to 1


@torch.no_grad()
def to_luma(state):
    """Weights of SDAN for one plane, made of those for three; other tensors stay.

    Outside the picture Y is 0 where grey would be below black, so the outermost pixels differ.
    """
    head, tail = state["head.weight"], state["tail.weight"]
    grey = head.sum(1, keepdim=True) / RANGE
    shares = torch.tensor(LUMA_WEIGHTS, dtype=tail.dtype)

    def mixed(tensor):
        colours = tensor.view(3, -1, *tensor.shape[1:])
        return torch.einsum("c,c...->...", shares, colours)

    return state | {
        "head.weight": grey,
        "head.bias": state["head.bias"] - BLACK * grey.sum((1, 2, 3)),
        "tail.weight": mixed(tail),
        "tail.bias": mixed(state["tail.bias"]),
    }
