"""Compiles kernels/*.cu to the PTX that is committed and embedded, with a pinned NVRTC from PyPI.

    python3 cuda/ptx.py             write cuda/ptx/NAME.sm_75.ptx and NAME.sm_80.ptx
    python3 cuda/ptx.py --check     compare them with what is committed, byte for byte
    python3 cuda/ptx.py --registers table of registers, shared memory and spills by ptxas; spills are an error

NVRTC and ptxas are NVIDIA's; they are fetched into the target folder, used, and never shipped.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "nvidia"

NVRTC = ("nvidia-cuda-nvrtc-cu12==12.2.140", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
PTXAS = ("nvidia-cuda-nvcc-cu12==12.9.86", "nvidia/cuda_nvcc/bin/ptxas")

SHIPPED = (75, 80)
# What the PTX is checked on: Turing, A100, Ampere, Ada, Hopper, Blackwell.
TARGETS = (75, 80, 86, 89, 90, 120)
# The oldest PTX that has cp.async and mma.m16n8k16; every driver that the host's side runs with, R470 and later, reads it.
# NVRTC writes its own, newer number.
VERSION = b".version 7.0"


def tool(package, path):
    """The path of a file of a wheel, which is fetched and unpacked where it is missing."""
    found = TOOLS / package / path
    if not found.exists():
        folder = TOOLS / package
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        if subprocess.run(command).returncode:
            raise SystemExit(f"{package} could not be fetched; is pip installed and the network up?")
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
            wheel.unlink()
    found.chmod(0o755)
    return found


class Nvrtc:
    """The runtime compiler. It needs no driver."""

    def __init__(self):
        self.library = ctypes.CDLL(str(tool(*NVRTC)))

    def call(self, name, *arguments):
        return getattr(self.library, name)(*arguments)

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw.rstrip(b"\0")

    def compile(self, source, architecture):
        """The PTX of a file for a compute capability; headers are those of its folder."""
        folder = source.parent
        headers = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.cuh"))}
        names, bodies = [], []
        for name, body in headers.items():
            names.append(name.encode())
            bodies.append(body)
        array = ctypes.c_char_p * max(1, len(names))
        program = ctypes.c_void_p()
        self.call("nvrtcCreateProgram", ctypes.byref(program), source.read_bytes(), source.name.encode(),
                  len(names), array(*bodies), array(*names))
        options = [b"-std=c++17", b"-default-device", f"-arch=compute_{architecture}".encode()]
        failed = self.call("nvrtcCompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = self.text(program, "ProgramLog").decode().strip()
        if log:
            print(log, file=sys.stderr)
        if failed:
            raise SystemExit(f"{source.name} does not compile for sm_{architecture}")
        ptx = self.text(program, "PTX")
        self.call("nvrtcDestroyProgram", ctypes.byref(program))
        return re.sub(rb"^\.version .*$", VERSION, ptx, count=1, flags=re.M)


def sources(options):
    """The kernel files that are meant."""
    found = sorted(options.kernels.glob("*.cu"))
    return [source for source in found if not options.names or source.stem in options.names]


def compiled(options):
    """(path, PTX) of every kernel file and shipped target."""
    nvrtc = Nvrtc()
    jobs = [(source, architecture) for source in sources(options) for architecture in SHIPPED]
    # ctypes lets other threads run during a call.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (source, architecture), ptx in zip(jobs, pool.map(lambda job: nvrtc.compile(*job), jobs)):
            yield options.ptx / f"{source.stem}.sm_{architecture}.ptx", ptx


def write(options):
    options.ptx.mkdir(parents=True, exist_ok=True)
    for path, ptx in compiled(options):
        path.write_bytes(ptx)
        print(f"{path.name}: {len(ptx) / 1000:.0f} KB")


def check(options):
    stale = [path.name for path, ptx in compiled(options) if not path.exists() or path.read_bytes() != ptx]
    expected = {f"{s.stem}.sm_{a}.ptx" for s in options.kernels.glob("*.cu") for a in SHIPPED}
    orphans = [p.name for p in options.ptx.glob("*.ptx") if p.name not in expected]
    if stale or orphans:
        raise SystemExit(f"cuda/ptx is not what cuda/kernels compiles to: {' '.join(stale + orphans)}; run make ptx")
    print("cuda/ptx is what cuda/kernels compiles to")


def assemble(job):
    """ptxas on one PTX file for one target: {kernel: (registers, shared bytes, spilt bytes)}."""
    path, target = job
    done = subprocess.run([str(tool(*PTXAS)), "-v", f"-arch=sm_{target}", str(path), "-o", os.devnull],
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{path.name} for sm_{target}: {done.stderr.strip()}")
    found, kernel, spilt = {}, None, 0
    for line in done.stderr.splitlines():
        if name := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = name[1]
        elif spills := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilt = int(spills[1]) + int(spills[2])
        elif used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            found[kernel] = (int(used[1]), int(shared[1]) if shared else 0, spilt)
    return found


def registers(options):
    tool(*PTXAS)
    jobs = []
    for source in sources(options):
        jobs += [(options.ptx / f"{source.stem}.sm_{75 if t < 80 else 80}.ptx", t) for t in TARGETS]
    rows = {}
    with ThreadPoolExecutor() as pool:
        for (path, target), found in zip(jobs, pool.map(assemble, jobs)):
            for kernel, numbers in found.items():
                rows.setdefault((path.name.split(".")[0], kernel), {})[target] = numbers
    print("| file | kernel | static shared bytes | " + " | ".join(f"sm_{t}" for t in TARGETS) + " |")
    print("|---|---|---|" + "---|" * len(TARGETS))
    spilling = set()
    for (name, kernel), row in rows.items():
        cells = []
        for target in TARGETS:
            used, _, spilt = row[target]
            cells.append(f"{used}, {spilt} B spilt" if spilt else str(used))
            if spilt:
                spilling.add(kernel)
        print(f"| {name} | `{kernel}` | {max(n[1] for n in row.values())} | " + " | ".join(cells) + " |")
    if spilling:
        raise SystemExit(f"registers are spilt in {' '.join(sorted(spilling))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    parser.add_argument("--registers", action="store_true", help="registers, shared memory and spills by ptxas")
    parser.add_argument("--kernels", type=Path, default=HERE / "kernels", help="folder of the sources")
    parser.add_argument("--ptx", type=Path, default=HERE / "ptx", help="folder of the PTX")
    parser.add_argument("names", nargs="*", help="names of files without .cu; all where none is given")
    options = parser.parse_args()
    if options.check:
        check(options)
    elif options.registers:
        registers(options)
    else:
        write(options)


if __name__ == "__main__":
    main()
