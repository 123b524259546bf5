"""onnxruntime: f32, and int8 by static quantisation (QDQ, per channel)."""

import onnxruntime
from contenders import Loaded, Task, main

from machine import has_vnni


def prepare(task: Task) -> None:
    source, target = task.onnx(), task.folder / "onnxruntime-int8.onnx"
    if task.precision != "int8" or target.exists():
        return
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(task.calibration())

        def get_next(self) -> dict | None:
            picture = next(self.left, None)
            return None if picture is None else {"x": picture}

    plain, partial = task.folder / "onnxruntime-plain.onnx", target.with_suffix(".partial")
    quant_pre_process(source, plain, skip_symbolic_shape=True)
    # Without VNNI sums of two products are kept in 16 bits, which 8-bit weights would overflow: 7 bits then.
    quantize_static(plain, partial, Pictures(), quant_format=QuantFormat.QDQ, per_channel=True,
                    reduce_range=not has_vnni(), activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    partial.rename(target)


def load(task: Task) -> Loaded:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    path = task.onnx() if task.precision == "f32" else task.folder / "onnxruntime-int8.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", task.picture())
    binding.bind_output("y", "cpu")
    about = f"onnxruntime {onnxruntime.__version__}, {task.threads} threads"
    if task.precision == "int8" and not has_vnni():
        about += "; weights of 7 bits, as the processor has no VNNI"
    return Loaded(lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0], about)


if __name__ == "__main__":
    main(load, prepare)
