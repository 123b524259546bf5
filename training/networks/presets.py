"""The presets: every named set of network parameters, and the family it belongs to."""

PRESETS = {
    "luma-s": ("luma", dict(width=16, depth=3, head_skip=False)),
    "luma-m": ("luma", dict(width=32, depth=5, head_skip=True)),
    "luma-l": ("luma", dict(width=48, depth=8, head_skip=True)),
    "sdan": (
        "sdan",
        dict(dim=48, blocks=9, steps=2, distill=16, lka=[[3, 5, 1], [5, 7, 2], [7, 9, 3]]),
    ),
    "sdan-small": (
        "sdan",
        dict(dim=48, blocks=2, steps=2, distill=16, lka=[[3, 5, 1], [5, 7, 2], [7, 9, 3]]),
    ),
    "dlgsanet-tiny": (
        "dlgsanet",
        dict(dim=48, groups=3, blocks=3, window_size=7, group_channels=6, heads=6),
    ),
    "dlgsanet-light": (
        "dlgsanet",
        dict(dim=48, groups=4, blocks=3, window_size=7, group_channels=6, heads=6),
    ),
    "dlsn": (
        "dlsn",
        dict(n_feats=256, n_modules=10, n_resblocks=4, reduction=4, chunk_size=128,
             n_hashes=3, res_scale=0.1),
    ),
    "dlsn-light": (
        "dlsn",
        dict(n_feats=48, n_modules=3, n_resblocks=3, reduction=3, chunk_size=128,
             n_hashes=2, res_scale=1.0),
    ),
}

# The side of DLGSANet's attention window follows from the scale: the authors trained on
# crops that gave these sides.
TLC_KERNEL = {2: 96, 3: 72, 4: 48}


def parameters(name, scale):
    """Family and full parameters of a preset at a scale."""
    family, params = PRESETS[name]
    params = dict(params)
    if family == "dlgsanet":
        params["tlc_kernel"] = TLC_KERNEL[scale]
    return family, params
