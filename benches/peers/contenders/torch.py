"""PyTorch, eager and compiled by inductor, f32 and bf16, channels last."""

import sys

import torch
from contenders import Loaded, Task, main

from cases import ROOT

sys.path.append(str(ROOT / "training"))
import weights  # noqa: E402

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def load(task: Task) -> Loaded:
    torch.set_num_threads(task.threads)
    torch.set_num_interop_threads(1)
    form = {"dtype": TYPES[task.precision], "memory_format": torch.channels_last}
    network, _ = weights.load_network(task.about()["weights"])
    network = network.to(**form)
    picture = torch.from_numpy(task.picture()).to(**form)
    if task.kind == "compile":
        network = torch.compile(network, dynamic=False)
    latest: list[torch.Tensor] = []

    def run() -> None:
        with torch.inference_mode():
            latest[:] = [network(picture)]

    run()
    about = f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {task.threads} threads"
    if task.precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        about += "; bf16 without instructions for it"
    return Loaded(run, lambda: latest[0].float().numpy(), about)


if __name__ == "__main__":
    main(load)
