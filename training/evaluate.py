"""Y-PSNR and SSIM of a network on folders of pictures, next to bicubic and Lanczos.

    python evaluate.py ../models/luma-s-x2.safetensors SET5 SET14
    python evaluate.py --scale 3 SET5          # the classic scalers alone
    python evaluate.py --precision int8 ../models/luma-s-x2.safetensors SET5    # in integers

`--record` writes what was found into the files: `y_psnr`, the mean of the folders, by which the
engine knows which networks are worth their cost, or with `--precision int8` what integers lose;
the engine takes them unasked up to 0.05 dB.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import metrics
import pictures
import precisions
import weights


def classic(small, scale, filter_):
    """Y of a picture enlarged by one of Pillow's filters."""
    size = (small.width * scale, small.height * scale)
    return pictures.luma(small.resize(size, filter_))


@torch.inference_mode()
def enlarge(model, small):
    """Codes of a picture enlarged by the network, [H,W,channels], not rounded."""
    if model.channels == 1:
        codes = np.rint(pictures.luma(small))[..., None]
    else:
        codes = np.asarray(small)
    low = torch.from_numpy(np.ascontiguousarray(codes.transpose(2, 0, 1))).float() / 255
    return (model(low[None])[0].clamp(0, 1) * 255).permute(1, 2, 0).double().numpy()


def run(model, small):
    """Y of a picture enlarged by the network; codes are rounded as the output stage does."""
    high = enlarge(model, small).round()
    return high[..., 0] if model.channels == 1 else pictures.luma(high)


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
    """A network in a precision, and the metadata."""
    model, metadata = weights.load_network(path)
    return precisions.change(model, metadata, precision), metadata


def table(folders, scalers, scale):
    """Y-PSNR of each scaler on each folder, which are printed."""
    found = [[] for _ in scalers]
    for folder in folders:
        files = pictures.find(folder)
        for (name, scaler), row in zip(scalers, found):
            psnr, ssim = scores(scaler, files, scale)
            row.append(psnr)
            print(f"x{scale}  {Path(folder).name:8}  {name:32} {psnr:.2f} dB  {ssim:.4f}",
                  flush=True)
    return found


def against_f32(path, folders, precision):
    """The most that a precision loses on any of the folders, in dB; it is printed."""
    exact, metadata = load(path, "f32")
    model, _ = load(path, precision)
    print(f"{Path(path).name} in {precision}:")
    both = [("f32", partial(run, exact)), (precision, partial(run, model))]
    before, after = table(folders, both, int(metadata["scale"]))
    loss = max(a - b for a, b in zip(before, after))
    codes, blocks = precisions.apart(exact, model)
    print(f"at most {loss:.3f} dB lost; on flats and ramps at most {codes} codes apart, "
          f"{blocks:.3f} in the mean of {precisions.BLOCK}x{precisions.BLOCK} pixels", flush=True)
    return loss


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("inputs", nargs="+", help="weights files or checkpoints, then folders")
    p.add_argument("--scale", type=int, help="scale, where no weights file gives it")
    p.add_argument("--precision", choices=precisions.NAMES, default="f32",
                   help="f16: values rounded to it; bf16: what products read, as the CPU "
                        "does; int8: luma networks in integers, 1x1 convolutions of others")
    p.add_argument("--record", action="store_true",
                   help="write y_psnr, bf16_loss or int8_loss into the files")
    p.add_argument("--threads", type=int)
    options = p.parse_args()
    if options.record and options.precision == "f16":
        p.error("--record goes with --precision f32, bf16 or int8")
    if options.threads:
        torch.set_num_threads(options.threads)

    folders = [i for i in options.inputs if Path(i).is_dir()]
    files = [i for i in options.inputs if not Path(i).is_dir()]
    if options.record and not folders:
        p.error("--record needs folders of pictures to measure on")
    if options.precision != "f32":
        for path in files:
            loss = against_f32(path, folders, options.precision)
            if options.record:
                weights.annotate(path, path, **{f"{options.precision}_loss": f"{loss:.3f}"})
        return
    models = [(f, *load(f, "f32")) for f in files]
    if not models and not options.scale:
        p.error("without a weights file --scale says by how much to enlarge")
    for scale in sorted({int(m["scale"]) for *_, m in models} or {options.scale}):
        scalers = [("bicubic", partial(classic, scale=scale, filter_=Image.BICUBIC)),
                   ("lanczos", partial(classic, scale=scale, filter_=Image.LANCZOS))]
        ours = [(path, model) for path, model, m in models if int(m["scale"]) == scale]
        scalers += [(Path(path).name, partial(run, model)) for path, model in ours]
        found = table(folders, scalers, scale)[-len(ours):]
        if options.record:
            for (path, _), row in zip(ours, found):
                weights.annotate(path, path, y_psnr=f"{np.mean(row):.3f}")


if __name__ == "__main__":
    main()
