"""Writes a case's folder: weights, pictures, the ONNX file, and PyTorch's f32 output that all are compared with.

    python export.py luma-s-x2-640x360 FOLDER [--pictures FOLDER]
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from onnxscript import opset18 as op

import inputs
from cases import CASES, ROOT, Case

sys.path.append(str(ROOT / "training"))
import weights  # noqa: E402
from networks import build, parameters  # noqa: E402

# The newest that every runtime here takes.
OPSET = 18
# To be raised where what is written changes.
VERSION = 2
# Stands in the description until there is a file or a reason; an export that was cut short is tried again.
UNFINISHED = "no ONNX file: its export took too long; give it more --patience"


def random_weights(case: Case, path: Path) -> None:
    """Weights as training would start with: speed does not depend on them, differences between runtimes do."""
    torch.manual_seed(1)
    family, params = parameters(case.network, case.scale)
    weights.save(path, build(family, params, case.scale).state_dict(), family, params, case.scale)


def key(case: Case, folder: Path | None) -> str:
    """Changes with the weights, the pictures and this program."""
    digest = hashlib.sha256(case.trained.read_bytes() if case.trained else b"random")
    digest.update(f"{case.name} {folder} {VERSION} {torch.__version__}".encode())
    return digest.hexdigest()


def stable_sort(values, *, stable=True, dim=-1, descending=False):  # noqa: ANN001, ANN201 - onnxscript wants it bare
    """DLSN's sort, which the exporter does not know: of equal values, ONNX's TopK gives that of the lower index first."""
    count = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
    return op.TopK(values, count, axis=dim, largest=int(descending), sorted=1)


def root_cause(error: BaseException) -> BaseException:
    while error.__cause__:
        error = error.__cause__
    return error


def write_onnx(network: torch.nn.Module, picture: torch.Tensor, path: Path) -> None:
    # Not optimised here: the runtimes do that better, and the exporter takes ten minutes for DLGSANet's graph.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (picture,), path, input_names=["x"], output_names=["y"], opset_version=OPSET,
                          dynamo=True, external_data=False, verbose=False, optimize=False,
                          custom_translation_table={torch.ops.aten.sort.stable: stable_sort})


def write(case: Case, folder: Path, pictures: Path | None) -> None:
    current = key(case, pictures)
    about = folder / "case.json"
    if about.exists():
        before = json.loads(about.read_text())
        if before["key"] == current and before["onnx"] != UNFINISHED:
            return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = case.trained
    if not path:
        path = folder / "random.safetensors"
        random_weights(case, path)
    network, _ = weights.load_network(path)
    picture, calibration = inputs.pictures(pictures, network.channels, case.height, case.width)
    picture.tofile(folder / "input.f32")
    np.save(folder / "calibration.npy", np.stack(calibration))
    tensor = torch.from_numpy(picture)[None]
    with torch.inference_mode():
        network(tensor).numpy().tofile(folder / "reference.f32")
    described = {"key": current, "network": case.network, "scale": case.scale, "weights": str(path),
                 "trained": case.trained is not None, "shape": list(tensor.shape), "onnx": UNFINISHED}
    about.write_text(json.dumps(described, indent=1))
    try:
        write_onnx(network, tensor, folder / "model.onnx")
        described["onnx"] = None
    except Exception as e:
        # PyTorch and ncnn need no ONNX file; those that do will give this reason.
        described["onnx"] = f"no ONNX file: {str(root_cause(e)).splitlines()[0]}"
    about.write_text(json.dumps(described, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case", choices=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder of pictures for input and calibration")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    case = next(case for case in CASES if case.name == options.case)
    write(case, options.folder.resolve(), options.pictures)


if __name__ == "__main__":
    main()
