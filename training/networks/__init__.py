"""The four network families, with the tensor names of the weights files."""

from .dlgsanet import Dlgsanet
from .dlsn import Dlsn
from .luma import Luma
from .presets import PRESETS, parameters
from .sdan import Sdan

FAMILIES = {"dlgsanet": Dlgsanet, "dlsn": Dlsn, "luma": Luma, "sdan": Sdan}


def build(family, params, scale):
    """An untrained network of a family."""
    return FAMILIES[family](scale, **params)


def build_preset(name, scale):
    family, params = parameters(name, scale)
    return build(family, params, scale)
