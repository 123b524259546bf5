"""Starts a network as a smaller trained one (after Net2Net, Chen et al. 2016).

Luma: the donor's channels are carried through the first channels of the larger network. No
feature is negative, so layers the donor lacks pass them on unchanged by a kernel of one tap. All
other channels start at random and reach the result only as training finds a use for them. SDAN gets
blocks more (`deepen`), DLGSANet groups (`lengthen`), which do nothing at first. For another scale
the last convolution is taken from that of the donor, too (`rescale`).
"""

import torch
import torch.nn.functional as F

QUIET = 0.05  # weight of fresh head channels where the head's skip would show them at once


@torch.no_grad()
def grow(model, donor):
    """Gives `model` the function of `donor`: exactly, or nearly with a new head skip."""
    small = donor.head.out_channels
    # A head skip adds the head's channels to the last layer's. Where the donor has none, its
    # features are led into the last channels there, away from its own head.
    apart = model.head_skip and not donor.head_skip
    ends = slice(-small, None) if apart else slice(0, small)
    if donor.head_skip and not model.head_skip or apart and (
            model.head.out_channels < 2 * small or len(model.body) <= len(donor.body)):
        raise ValueError("the larger network has no room beside the smaller one's head")

    model.head.weight[:small] = donor.head.weight
    model.head.bias[:small] = donor.head.bias
    if apart:
        model.head.weight[ends] *= QUIET
    last = len(model.body) - 1
    for i, layer in enumerate(model.body):
        rows = ends if i == last else slice(0, small)
        layer.weight[rows] = 0
        if i < len(donor.body):
            layer.weight[rows, :small] = donor.body[i].weight
            layer.bias[rows] = donor.body[i].bias
        else:
            layer.weight[rows, :small, 1, 1] = torch.eye(small)
            layer.bias[rows] = 0
    model.tail.weight.zero_()
    if model.scale == donor.scale:
        model.tail.weight[:, ends] = donor.tail.weight
        model.tail.bias.copy_(donor.tail.bias)


def deepen(state, channels):
    """Weights of an SDAN for one of more blocks, whose outputs have `channels` in all.

    The sum over the blocks does not hear the new ones until training finds a use for them.
    """
    fuse = state["fuse.weight"]
    return state | {"fuse.weight": F.pad(fuse, (0, 0, 0, 0, 0, channels - fuse.shape[1]))}


def rescale(state, old, new):
    """The last convolution of luma or SDAN for another scale, before the pixel shuffle: each pixel
    of the enlarged picture begins as that of the donor which lies nearest to it."""
    nearest = torch.tensor([(2 * i + 1) * old // (2 * new) for i in range(new)])
    phases = (nearest[:, None] * old + nearest).flatten()
    tail = {n: t for n, t in state.items() if n.startswith("tail.")}
    return {n: t.unflatten(0, (-1, old * old))[:, phases].flatten(0, 1) for n, t in tail.items()}


def lengthen(model, donor):
    """Weights of the DLGSANet `donor` for `model`, which has more groups.

    The new ones hand on what they get, for their last convolutions are zero.
    """
    old, new = (len(m.deep_feature_extraction) - 1 for m in (donor, model))
    last = f"deep_feature_extraction.{old}."
    state = {n.replace(last, f"deep_feature_extraction.{new}."): t
             for n, t in donor.state_dict().items()}
    for group in range(old, new):
        body = model.deep_feature_extraction[group].body
        for name, tensor in body[-1].state_dict().items():
            place = f"deep_feature_extraction.{group}.body.{len(body) - 1}.{name}"
            state[place] = torch.zeros_like(tensor)
    return state
