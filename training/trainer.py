"""One training: model, average, optimiser, schedule and the checkpoint that holds them all."""

import math
import os
import statistics
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.nn import functional as F

import fold
from grow import deepen, grow, lengthen, rescale
from networks import Dlgsanet, Luma, Sdan, build
from quick import quicken
from recolour import to_luma
from soap import Soap
from weights import load_network

FEW = 3  # steps whose median says what one takes
WARM_UP = 60  # steps over which the learning rate rises: an optimiser's averages span twenty
# Of the logarithm of squared error: its gradients are then near those of L1, which an optimiser's
# averages still remember.
PSNR_FACTOR = 0.01
PSNR_FLOOR = 1e-5  # squared error, 50 dB: what is better than that draws no more attention


class Clock:
    """Seconds spent in steps.

    A step counts at most twice the recent median, so a process that was stopped for a while, or had
    to share its core, does not lose that part of its budget: the rate would fall without steps.
    """

    def __init__(self, elapsed=0.0, usual=None):
        """`usual`: the median of the steps so far, where there were any."""
        self.elapsed = elapsed
        self.recent = deque([usual] * FEW if usual else [], maxlen=99)

    def add(self, seconds):
        if len(self.recent) >= FEW:
            seconds = min(seconds, 2 * self.step_seconds())
        self.recent.append(seconds)
        self.elapsed += seconds

    def step_seconds(self):
        return statistics.median(self.recent)


class Trainer:
    def __init__(self, family, params, options, device):
        """`options` has the fields of train.py's command line."""
        self.family, self.params, self.options, self.device = family, params, options, device
        torch.manual_seed(options.seed)
        plain = build(family, params, options.scale)
        self.channels = plain.channels
        if options.init_from:
            adopt(plain, options.init_from)
        self.average = {k: v.clone().to(device) for k, v in plain.state_dict().items()}
        # SOAP needs no branches: it sees by itself which parts of a kernel move together.
        branches = family == "luma" and options.optimiser == "adam"
        self.model = fold.widen(plain) if branches else plain
        self.model.to(device, memory_format=torch.channels_last)
        if device.type == "cpu":
            quicken(self.model)
        self.run = torch.compile(self.model) if options.compile else self.model
        self.teacher = self.hire(options.teacher) if options.teacher else None
        self.optimiser = optimiser(options.optimiser, self.model.parameters(), options.rate)
        self.short = options.bf16 or device.type == "cuda"
        self.random = torch.Generator(device).manual_seed(options.seed)
        self.pool = ThreadPoolExecutor(options.workers, initializer=torch.set_num_threads,
                                       initargs=(1,))
        self.step, self.clock = 0, Clock()

    def hire(self, path):
        """A network to learn from, beside the pictures."""
        teacher = load_network(path)[0]
        if (teacher.channels, teacher.scale) != (self.channels, self.options.scale):
            raise SystemExit(f"{path} cannot teach: it has other colours or another scale")
        teacher.to(self.device, memory_format=torch.channels_last)
        return quicken(teacher) if self.device.type == "cpu" else teacher

    def progress(self):
        """Share of the whole training that is done, by steps or by time."""
        if self.options.steps:
            return self.step / self.options.steps
        return self.clock.elapsed / (60 * self.options.budget)

    def rate(self):
        done = min(self.progress(), 1.0)
        cosine = 0.5 + 0.5 * math.cos(math.pi * done)
        return self.options.rate * max(cosine, 1e-3) * min(1.0, (self.step + 1) / WARM_UP)

    def advance(self, atlas):
        """One step; the loss comes back as a tensor, so that a GPU is not waited for."""
        began = time.perf_counter()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        loss = self.backward(self.draw(atlas))
        self.optimiser.step()
        self.step += 1
        self.update_average()
        self.clock.add(time.perf_counter() - began)
        return loss

    def draw(self, atlas):
        """A batch: tensors whose first side counts the pictures."""
        return atlas.batch(self.options.batch, self.options.crop, self.random)

    def backward(self, batch):
        """Sets the gradients of the batch, worked out in one thread per part of it.

        Threads that meet once per step lose little when other programs hold the cores; threads
        that meet in every operator, as PyTorch's own do, lose most of their time then.
        """
        parts = zip(*(tensor.tensor_split(self.options.workers) for tensor in batch))
        run = self.pool.map if self.options.workers > 1 else map
        losses, gradients = zip(*run(self.part, parts))
        for parameter, *shares in zip(self.model.parameters(), *gradients):
            parameter.grad = torch.stack(shares).mean(0) if len(shares) > 1 else shares[0]
        return torch.stack(losses).mean()

    def part(self, batch):
        """Loss and gradients of one share of the batch."""
        low, high = batch
        with torch.autocast(self.device.type, torch.bfloat16, self.short):
            output = self.run(low).float()
            loss = self.taught(low, [output], self.loss(output, high))
        return loss.detach(), torch.autograd.grad(loss, list(self.model.parameters()))

    def taught(self, low, outputs, loss):
        """The loss, and what the teacher makes of it: half at first, and nothing from where PSNR is
        trained on, which would draw nearer to the teacher than to the truth."""
        share = 0.5 * (1 - self.progress() / max(1 - self.options.psnr_share, 1e-6))
        if self.teacher is None or share <= 0:
            return loss
        with torch.no_grad():
            lesson = self.teacher(low).float()
        away = sum(F.l1_loss(output, lesson) for output in outputs) / len(outputs)
        return (1 - share) * loss + share * away

    def loss(self, output, target):
        """L1; at the end the mean PSNR of the crops, for it is what networks are judged by."""
        if self.progress() < 1 - self.options.psnr_share:
            return F.l1_loss(output, target)
        errors = F.mse_loss(output, target, reduction="none").mean((1, 2, 3))
        return PSNR_FACTOR * (errors + PSNR_FLOOR).log().mean()

    @torch.no_grad()
    def update_average(self):
        # The average is of the folded kernels: it is what gets exported. It follows more
        # closely at first, when the weights still move fast.
        keep = min(self.options.average, self.step / (self.step + 10))
        fresh = fold.plain_state(self.model)
        names = [n for n, t in self.average.items() if t.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in names], [fresh[n] for n in names], 1 - keep)

    def save(self, path):
        kept = {
            "family": self.family, "params": self.params, "scale": self.options.scale,
            "flavour": self.options.flavour, "learner": self.options.optimiser,
            "model": self.model.state_dict(), "average": self.average,
            "optimiser": self.optimiser.state_dict(), "random": self.random.get_state(),
            "step": self.step, "elapsed": self.clock.elapsed, "progress": self.progress(),
            "step_seconds": self.clock.step_seconds() if self.clock.recent else None,
        }
        # Written aside and renamed: a cut-off write must not cost the training.
        aside = Path(f"{path}.part")
        torch.save(kept, aside)
        os.replace(aside, path)

    def restore(self, path):
        kept = torch.load(path, map_location=self.device, weights_only=True)
        if (kept["family"], kept["params"], kept["scale"]) != (
                self.family, self.params, self.options.scale):
            raise SystemExit(f"{path} is a checkpoint of another network or scale")
        # Older checkpoints do not say how they learned.
        if (kept["flavour"], kept.get("learner", self.options.optimiser)) != (
                self.options.flavour, self.options.optimiser):
            raise SystemExit(f"{path} is of another flavour or optimiser: give the same")
        self.model.load_state_dict(kept["model"])
        self.average = kept["average"]
        self.optimiser.load_state_dict(kept["optimiser"])
        self.random.set_state(kept["random"].cpu())
        self.step = kept["step"]
        self.clock = Clock(kept["elapsed"], kept.get("step_seconds"))


def optimiser(name, parameters, rate):
    if name == "soap":
        return Soap(parameters, lr=rate)
    return torch.optim.Adam(parameters, lr=rate, foreach=True)


def adopt(model, path):
    """Starts `model` from another network: of another scale or of colours, or a smaller one."""
    donor, metadata = load_network(path)
    if type(donor) is not type(model):
        raise SystemExit(f"{path} is of the family {metadata['network']}, which is not the network's")
    if isinstance(model, Luma) and donor.head.out_channels < model.head.out_channels:
        return grow(model, donor)
    own, theirs = model.state_dict(), donor.state_dict()
    if (donor.channels, model.channels) == (3, 1):
        theirs = to_luma(theirs)
    if isinstance(model, Sdan) and len(donor.blocks) < len(model.blocks):
        theirs = deepen(theirs, model.fuse.in_channels)
    if isinstance(model, Dlgsanet):
        theirs = lengthen(model, donor)
    if foreign := theirs.keys() - own.keys():
        raise SystemExit(f"{path} is of a larger network: it has {min(foreign)}")
    if isinstance(model, (Luma, Sdan)) and donor.scale != model.scale:
        theirs = theirs | rescale(theirs, donor.scale, model.scale)
    # All else has the same shape at every scale.
    fresh = {n for n, t in theirs.items() if own[n].shape != t.shape}
    if foreign := {n for n in fresh if not n.startswith(("tail.", "upsample."))}:
        raise SystemExit(f"{path} is of a network of another shape: see its {min(foreign)}")
    model.load_state_dict(own | {n: t for n, t in theirs.items() if n not in fresh})
