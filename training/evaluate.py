"""Y-PSNR and SSIM of a network on folders of pictures, next to bicubic and Lanczos.

    python evaluate.py ../models/luma-s-x2.safetensors SET5 SET14
    python evaluate.py --scale 3 SET5          # the classic scalers alone
    python evaluate.py --precision int8 ../models/luma-s-x2.safetensors SET5    # in integers
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import metrics
import pictures
import quantized
from weights import load_network


def classic(small, scale, filter_):
    """Y of a picture enlarged by one of Pillow's filters."""
    size = (small.width * scale, small.height * scale)
    return pictures.luma(small.resize(size, filter_))


@torch.inference_mode()
def run(model, small):
    """Y of a picture enlarged by the network; codes are rounded as the output stage does."""
    if model.channels == 1:
        codes = np.rint(pictures.luma(small))[..., None]
    else:
        codes = np.asarray(small)
    low = torch.from_numpy(np.ascontiguousarray(codes.transpose(2, 0, 1))).float() / 255
    high = (model(low[None])[0].clamp(0, 1) * 255).round().double().numpy()
    if model.channels == 1:
        return high[0]
    return pictures.luma(high.transpose(1, 2, 0))


def scores(scaler, files, scale):
    """Mean Y-PSNR and SSIM of a function from low-resolution picture to Y."""
    rows = []
    for path in files:
        picture = pictures.read(path, scale)
        truth = metrics.shave(pictures.luma(picture), scale)
        guess = metrics.shave(scaler(pictures.reduce(picture, scale)), scale)
        rows.append((metrics.psnr(guess, truth), metrics.ssim(guess, truth)))
    return np.mean(rows, axis=0)


def load(path, precision):
    """A network, or its integer version, and the metadata."""
    model, metadata = load_network(path)
    if precision == "int8":
        model = quantized.Quantized(model, quantized.steps(metadata))
    return model, metadata


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("inputs", nargs="+", help="weights files or checkpoints, then folders")
    p.add_argument("--scale", type=int, help="scale, where no weights file gives it")
    p.add_argument("--precision", choices=("f32", "int8"), default="f32",
                   help="int8: luma networks in integers, as the engine has them")
    p.add_argument("--threads", type=int)
    options = p.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    folders = [i for i in options.inputs if Path(i).is_dir()]
    models = [(i, *load(i, options.precision))
              for i in options.inputs if not Path(i).is_dir()]
    scales = {int(m["scale"]) for _, _, m in models} or {options.scale}
    for scale in sorted(scales):
        scalers = [("bicubic", lambda s: classic(s, scale, Image.BICUBIC)),
                   ("lanczos", lambda s: classic(s, scale, Image.LANCZOS))]
        scalers += [(Path(name).name, lambda s, model=model: run(model, s))
                    for name, model, meta in models if int(meta["scale"]) == scale]
        for folder in folders:
            files = pictures.find(folder)
            for name, scaler in scalers:
                psnr, ssim = scores(scaler, files, scale)
                print(f"x{scale}  {Path(folder).name:8}  {name:32} {psnr:.2f} dB  {ssim:.4f}",
                      flush=True)


if __name__ == "__main__":
    main()
