"""OpenVINO: f32, bf16, and int8 by NNCF; one stream, with the hint for latency or for throughput."""

import logging
from collections import Counter

import openvino
from contenders import Loaded, Task, main

HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}


def prepare(task: Task) -> None:
    source, target = task.onnx(), task.folder / "openvino-int8.xml"
    if task.precision != "int8" or target.exists():
        return
    import nncf

    nncf.set_log_level(logging.ERROR)
    pictures = task.calibration()
    model = nncf.quantize(openvino.convert_model(source), nncf.Dataset(pictures), subset_size=len(pictures),
                          preset=nncf.QuantizationPreset.PERFORMANCE)
    openvino.save_model(model, target, compress_to_fp16=False)


def convolutions(compiled: openvino.CompiledModel) -> str:
    """The kernel that most convolutions run on: it names instruction set and type."""
    kinds: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if "layerType" in info and "Convolution" in info["layerType"].astype(str):
            kinds[info["primitiveType"].astype(str)] += 1
    return kinds.most_common(1)[0][0] if kinds else "none"


def load(task: Task) -> Loaded:
    core = openvino.Core()
    path = task.folder / "openvino-int8.xml" if task.precision == "int8" else task.onnx()
    compiled = core.compile_model(path, "CPU", {
        "PERFORMANCE_HINT": task.setting.upper() or "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": task.threads,
        "INFERENCE_PRECISION_HINT": HINTS[task.precision], "CPU_DENORMALS_OPTIMIZATION": True,
    })
    runs_in = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if runs_in != HINTS[task.precision]:
        raise RuntimeError(f"the processor has no instructions for {task.precision}: it would compute in {runs_in}")
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(task.picture(), shared_memory=False))
    about = f"OpenVINO {openvino.__version__.split('-')[0]}, {task.threads} threads, convolutions {convolutions(compiled)}"
    return Loaded(request.infer, lambda: request.get_output_tensor().data.copy(), about)


if __name__ == "__main__":
    main(load, prepare)
