"""Weights files: safetensors with the network, its parameters and the scale as metadata."""

import json
import os

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from networks import build


def save(path, state, family, params, scale, half=False, flavour=None):
    def kind(name):
        # DLSN's hash codes are told apart by what halves would round off.
        return torch.float16 if half and not name.endswith(".rotations") else torch.float32

    tensors = {name: t.detach().to("cpu", kind(name)).contiguous() for name, t in state.items()}
    metadata = {"network": family, "preset": json.dumps(params), "scale": str(scale)}
    if flavour:
        metadata["flavour"] = flavour
    save_file(tensors, path, metadata)


def load(path, prefix=""):
    """Tensors (f32) whose names start with `prefix`, which is cut off, and the metadata."""
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]
        state = {name[len(prefix):]: file.get_tensor(name).float() for name in names}
        return state, file.metadata()


def annotate(source, target, **fields):
    """Copies a weights file with other metadata, without those that are None; all else stays."""
    with safe_open(source, "pt") as file:
        # A tensor may be a view of the file, which may be the one that is written.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
        metadata = {name: v for name, v in (file.metadata() | fields).items() if v is not None}
    # Written aside and renamed: a cut-off write must not cost the weights.
    aside = f"{target}.part"
    save_file(tensors, aside, metadata)
    os.replace(aside, target)


def load_network(path):
    """A weights file, or the averaged weights of a checkpoint, as (network, metadata)."""
    if str(path).endswith(".pt"):
        kept = torch.load(path, map_location="cpu", weights_only=True)
        state = kept["average"]
        metadata = {"network": kept["family"], "preset": json.dumps(kept["params"]),
                    "scale": str(kept["scale"])}
    else:
        state, metadata = load(path)
    model = build(metadata["network"], json.loads(metadata["preset"]), int(metadata["scale"]))
    model.load_state_dict(state)
    return model.eval(), metadata
