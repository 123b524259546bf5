"""ncnn: f32 by Winograd, and with bf16 storage; pnnx writes its files from a traced network."""

import os
import subprocess
import sys
from pathlib import Path

import ncnn
import numpy as np
from contenders import Loaded, Task, main


def trace(task: Task, path: Path) -> None:
    import torch

    from cases import ROOT

    sys.path.append(str(ROOT / "training"))
    import weights

    network, _ = weights.load_network(task.about()["weights"])
    with torch.inference_mode():
        torch.jit.trace(network, torch.from_numpy(task.picture())).save(path)


def prepare(task: Task) -> None:
    if (task.folder / "ncnn.bin").exists():
        return
    import pnnx

    trace(task, task.folder / "traced.pt")
    shape = ",".join(map(str, task.about()["shape"]))
    command = [pnnx.EXEC_PATH, "traced.pt", f"inputshape=[{shape}]f32", "fp16=0"]
    done = subprocess.run(command, cwd=task.folder, stdout=sys.stderr, stderr=sys.stderr, check=False)
    if done.returncode:
        raise RuntimeError(f"pnnx ended with {done.returncode}")
    # pnnx says with a code of 0 what ncnn cannot do: such a layer stays in the file under PyTorch's name.
    layers = (task.folder / "traced.ncnn.param").read_text().splitlines()[2:]
    foreign = sorted({layer.split()[0] for layer in layers if "." in layer.split()[0] or "::" in layer.split()[0]})
    if foreign:
        raise RuntimeError(f"ncnn has no {', '.join(foreign)}")
    os.rename(task.folder / "traced.ncnn.param", task.folder / "ncnn.param")
    os.rename(task.folder / "traced.ncnn.bin", task.folder / "ncnn.bin")


def load(task: Task) -> Loaded:
    network = ncnn.Net()
    network.opt.num_threads = task.threads
    network.opt.use_vulkan_compute = False
    # Half precision is another class of precision; processors of this kind compute in f32 anyway.
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_packed = network.opt.use_bf16_storage = task.precision == "bf16"
    if network.load_param(str(task.folder / "ncnn.param")) or network.load_model(str(task.folder / "ncnn.bin")):
        raise RuntimeError("ncnn does not load what pnnx wrote")
    # A Mat made of an array does not keep it alive.
    array = task.picture()[0]
    picture = ncnn.Mat(array).clone()
    latest: list[ncnn.Mat] = []

    def run() -> None:
        extractor = network.create_extractor()
        extractor.input("in0", picture)
        status, output = extractor.extract("out0")
        if status:
            raise RuntimeError(f"ncnn's extract gives {status}")
        latest[:] = [output]

    run()
    about = f"ncnn {ncnn.__version__}, {task.threads} threads"
    return Loaded(run, lambda: np.array(latest[0]), about)


if __name__ == "__main__":
    main(load, prepare)
