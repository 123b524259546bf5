"""The processor, and how each runtime is held to a lesser one."""

import os
import platform
from pathlib import Path

# Processor flags that an instruction set needs, as Linux names them; each one has those before it.
ISAS = {
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    "vnni": ("avx512_vnni",),
    "amx": ("avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
}
ONEDNN = {"avx2": "AVX2", "avx512": "AVX512_CORE", "vnni": "AVX512_CORE_VNNI", "amx": "AVX512_CORE_AMX"}
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
    names = list(ISAS)
    needed = [flag for name in names[: names.index(isa) + 1] for flag in ISAS[name]]
    return [flag for flag in needed if flag not in flags]


def flags() -> set[str]:
    return set(cpu_fields().get("flags", "").split())


def has_vnni() -> bool:
    return bool(flags() & {"avx512_vnni", "avx_vnni"})


def environment(threads: int, isa: str | None, cache: Path) -> dict[str, str]:
    """For every contender's process."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), TORCHINDUCTOR_FREEZING="1",
               TORCHINDUCTOR_CACHE_DIR=str(cache), CUDA_VISIBLE_DEVICES="")
    if isa:
        ours = "avx2" if isa == "avx2" else "avx512"
        env |= {"SRUP_CPU": ours, "ONEDNN_MAX_CPU_ISA": ONEDNN[isa], "DNNL_MAX_CPU_ISA": ONEDNN[isa],
                "ATEN_CPU_CAPABILITY": "avx2" if isa == "avx2" else "avx512"}
    return env


def describe(isa: str | None) -> str:
    """One line for the head of the tables."""
    found = flags()
    best = [name for name in ISAS if not missing(name, found)]
    text = f"{cpu_fields().get('model name', platform.machine())}, {os.cpu_count()} threads, has {', '.join(best) or 'none of ' + ', '.join(ISAS)}"
    return f"{text}; held to {isa} ({UNCAPPED})" if isa else text
