"""Trains a network in slices: each call goes on from the last checkpoint.

    python train.py --network luma-s --scale 2 --data PHOTOS --budget 15 --out luma-s-x2.pt
    python train.py --queue queue.json --data PHOTOS --out CHECKPOINTS --minutes 9
"""

import argparse
import json
import signal
import sys
import time
from functools import partial
from pathlib import Path

import torch

import stream
from bytewise import ByteTrainer
from networks import PRESETS, parameters
from pictures import Atlas
from trainer import Trainer

SAVE_EVERY = 60  # seconds
REPORT_EVERY = 10


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--network", choices=PRESETS)
    p.add_argument("--params", type=json.loads, default={}, help="JSON: other than the preset's")
    p.add_argument("--scale", type=int, choices=(2, 3, 4))
    p.add_argument("--data", required=True, help="folder of training pictures")
    p.add_argument("--out", required=True, help="checkpoint to write (a folder with --queue)")
    p.add_argument("--resume", help="checkpoint to go on from, where --out is not there yet")
    p.add_argument("--queue", help="JSON file of trainings; takes the first unfinished one")
    p.add_argument("--minutes", type=float, default=1e9, help="length of this slice")
    p.add_argument("--budget", type=float, default=60, help="minutes of the whole training")
    p.add_argument("--steps", type=int, help="steps of the whole training, in place of --budget")
    p.add_argument("--batch", type=int, default=16, help="crops per step")
    p.add_argument("--crop", type=int, default=48, help="side of a low-resolution crop, pixels")
    p.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    p.add_argument("--optimiser", choices=("adam", "soap"), default="adam")
    p.add_argument("--bf16", action="store_true", help="convolve in bf16 (GPUs always do)")
    p.add_argument("--average", type=float, default=0.999,
                   help="decay of the weight average, reached as steps pass ten times its span")
    p.add_argument("--psnr-share", type=float, default=0.0, help="last share trained on PSNR")
    p.add_argument("--bytes", action="store_true", help="luma: train what bytes compute, too")
    p.add_argument("--flavour", choices=("stream",),
                   help="stream: for input that was compressed (needs ffmpeg)")
    p.add_argument("--init-from", help="weights file or checkpoint to start from, any scale")
    p.add_argument("--teacher", help="weights of a better network of the same scale and colours")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--workers", type=int, default=1, help="parts of a batch done side by side")
    p.add_argument("--threads", type=int, help="PyTorch's own threads (CPU)")
    p.add_argument("--compile", action="store_true", help="compile the model (GPU)")
    return p


def next_job(options):
    """The first unfinished training of the queue, as options; None when all are done."""
    for job in json.loads(Path(options.queue).read_text()):
        merged = argparse.Namespace(**(vars(options) | job))
        folder = Path(options.out)
        merged.out = str(folder / f"{merged.network}-x{merged.scale}.pt")
        if merged.init_from:
            released = merged.init_from.endswith(".safetensors")
            merged.init_from = str(Path(options.queue).parent / merged.init_from if released
                                   else folder / f"{merged.init_from}.pt")
        if not Path(merged.out).exists():
            return merged
        kept = torch.load(merged.out, map_location="cpu", weights_only=True)
        if kept["progress"] < 1:
            return merged
    return None


class Stop:
    """Turns the usual signals into a flag that is read between two steps."""

    def __init__(self):
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_):
        self.asked = True


def report(trainer, loss):
    o = trainer.options
    done = min(trainer.progress(), 1.0)
    line = (f"{o.network} x{o.scale}  step {trainer.step}  {100 * done:.1f}%  "
            f"loss {loss:.6f}  rate {trainer.rate():.2e}  "
            f"{1000 * trainer.clock.step_seconds():.0f} ms/step  "
            f"{trainer.clock.elapsed / 60:.1f} min")
    if sys.stdout.isatty():
        bar = "#" * int(30 * done)
        print(f"\r[{bar:<30}] {line}", end="", flush=True)
    else:
        print(line, flush=True)


def train(options):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    family, params = parameters(options.network, options.scale)
    params |= options.params
    trainer = (ByteTrainer if options.bytes else Trainer)(family, params, options, device)
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    source = options.out if Path(options.out).exists() else options.resume or options.out
    if Path(source).exists():
        trainer.restore(source)
    elif options.resume:
        raise SystemExit(f"no checkpoint {source}")
    degrade = partial(stream.variants, seed=options.seed) if options.flavour else None
    atlas = Atlas(options.data, options.scale, trainer.channels, device, degrade)

    stop = Stop()
    slice_end = trainer.clock.elapsed + 60 * options.minutes
    saved = reported = time.monotonic()
    losses = []
    while trainer.progress() < 1 and trainer.clock.elapsed < slice_end and not stop.asked:
        losses.append(trainer.advance(atlas))
        now = time.monotonic()
        if now - reported > REPORT_EVERY:
            report(trainer, torch.stack(losses).mean().item())
            reported, losses = now, []
        if now - saved > SAVE_EVERY:
            trainer.save(options.out)
            saved = now
    trainer.save(options.out)
    if losses:
        report(trainer, torch.stack(losses).mean().item())
    print()


def main():
    options = parser().parse_args()
    if options.queue:
        options = next_job(options)
        if options is None:
            raise SystemExit("every training of the queue is done")
    if not options.network or not options.scale:
        raise SystemExit("give --network and --scale, or --queue")
    if options.batch < options.workers:
        raise SystemExit("--batch is less than --workers: each needs a picture")
    train(options)


if __name__ == "__main__":
    main()
