"""Who is measured: every runtime in every precision, and the settings of which the faster one counts."""

from dataclasses import dataclass

OURS = "srupscale"


@dataclass(frozen=True)
class Entry:
    """One process of a measurement. Entries of one contender differ in setting; the fastest of them stands for it."""

    runtime: str
    precision: str
    kind: str = ""
    setting: str = ""

    @property
    def contender(self) -> str:
        return " ".join(part for part in (self.runtime, self.kind, self.precision) if part)

    @property
    def name(self) -> str:
        return f"{self.contender} ({self.setting})" if self.setting else self.contender


def ours(precision: str, luma: bool) -> list[Entry]:
    """Frames of the planes that the network sees; for networks of luma also frames with chroma."""
    return [Entry(OURS, precision)] + [Entry(OURS, precision, kind="I420")] * luma


def entries(luma: bool) -> list[Entry]:
    """All, for a network of luma or of colour."""
    own = [entry for precision in ("f32", "bf16", "int8") for entry in ours(precision, luma)]
    torch = [Entry("torch", precision, kind) for kind in ("eager", "compile") for precision in ("f32", "bf16")]
    onnxruntime = [Entry("onnxruntime", precision) for precision in ("f32", "int8")]
    openvino = [Entry("openvino", precision, setting=hint)
                for precision in ("f32", "bf16", "int8") for hint in ("latency", "throughput")]
    ncnn = [Entry("ncnn", precision) for precision in ("f32", "bf16")]
    return own + torch + onnxruntime + openvino + ncnn
