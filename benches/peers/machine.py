"""The processor, and how each runtime is held to a lesser one."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path



@dataclass(frozen=True)
class Isa:
    """An instruction set: processor flags that it needs, as Linux names them, and what it is called elsewhere."""

    flags: tuple[str, ...]
    ours: str
    onednn: str
    pytorch: str


AVX2 = ("avx2", "fma")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")
AVX512_VNNI = (*AVX512, "avx512_vnni")
AMX = (*AVX512_VNNI, "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
# From the least to the most.
ISAS = {
    "avx2": Isa(AVX2, "avx2", "AVX2", "avx2"),
    "avxvnni": Isa((*AVX2, "avx_vnni"), "avxvnni", "AVX2_VNNI", "avx2"),
    "avx512": Isa(AVX512, "avx512", "AVX512_CORE", "avx512"),
    "avx512vnni": Isa(AVX512_VNNI, "avx512vnni", "AVX512_CORE_VNNI", "avx512"),
    "amx": Isa(AMX, "amx", "AVX512_CORE_AMX", "avx512"),
}
UNCAPPED = "onnxruntime and ncnn cannot be held to it and run on all that there is"


def cpu_fields() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in lines}


def missing(isa: str, flags: set[str]) -> list[str]:
    """Flags that an instruction set needs and the processor lacks."""
    return [flag for flag in ISAS[isa].flags if flag not in flags]


def flags() -> set[str]:
    return set(cpu_fields().get("flags", "").split())


def has_vnni() -> bool:
    return bool(flags() & {"avx512_vnni", "avx_vnni"})


def environment(threads: int, isa: str | None, cache: Path) -> dict[str, str]:
    """For every contender's process."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), TORCHINDUCTOR_FREEZING="1",
               TORCHINDUCTOR_CACHE_DIR=str(cache), CUDA_VISIBLE_DEVICES="")
    if isa:
        names = ISAS[isa]
        env |= {"SRUP_CPU": names.ours, "ONEDNN_MAX_CPU_ISA": names.onednn, "DNNL_MAX_CPU_ISA": names.onednn,
                "ATEN_CPU_CAPABILITY": names.pytorch}
    return env


def describe(isa: str | None) -> str:
    """One line for the head of the tables."""
    found = flags()
    best = [name for name in ISAS if not missing(name, found)]
    text = f"{cpu_fields().get('model name', platform.machine())}, {os.cpu_count()} threads, has {', '.join(best) or 'none of ' + ', '.join(ISAS)}"
    return f"{text}; held to {isa} ({UNCAPPED})" if isa else text
