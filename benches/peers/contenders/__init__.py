"""The other runtimes, a module each: `python -m contenders.openvino FOLDER --precision f32` is one contender.

A contender loads the network of a case's folder, says `{"ready": "what it runs on"}`, and then does what lines of JSON on
its input ask for: `{"frames": 3}` runs three times and answers `{"ms": [..]}`, `{"output": "FILE"}` writes the output.
With `--prepare` it only writes the files that it needs, so that neither time nor memory of that is measured.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np


@dataclass(frozen=True)
class Task:
    """What a contender is to run, and how."""

    folder: Path
    precision: str
    kind: str
    setting: str
    threads: int

    def about(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    def onnx(self) -> Path:
        reason = self.about()["onnx"]
        if reason:
            raise RuntimeError(reason)
        return self.folder / "model.onnx"

    def picture(self) -> np.ndarray:
        return np.fromfile(self.folder / "input.f32", np.float32).reshape(self.about()["shape"])

    def calibration(self) -> list[np.ndarray]:
        return [picture[None] for picture in np.load(self.folder / "calibration.npy")]


@dataclass(frozen=True)
class Loaded:
    """A network that is ready: one run of it, its last output, and what it runs on in words."""

    run: Callable[[], Any]
    output: Callable[[], np.ndarray]
    about: str


def answer(loaded: Loaded, line: str) -> dict[str, Any]:
    match json.loads(line):
        case {"frames": int(count)}:
            times = []
            for _ in range(count):
                start = time.perf_counter()
                loaded.run()
                times.append((time.perf_counter() - start) * 1e3)
            return {"ms": times}
        case {"output": str(path)}:
            np.ascontiguousarray(loaded.output(), np.float32).tofile(path)
            return {"output": path}
        case other:
            raise ValueError(f"unknown question {other}")


def own_stdout() -> TextIO:
    """Standard output for answers alone: what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return out


def one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no reason given"
    return text if type(error) is RuntimeError else f"{type(error).__name__}: {text}"


def main(load: Callable[[Task], Loaded], prepare: Callable[[Task], None] | None = None) -> None:
    """The command line of every contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="what export.py wrote")
    parser.add_argument("--precision", choices=("f32", "bf16", "int8"), default="f32")
    parser.add_argument("--kind", default="")
    parser.add_argument("--setting", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="only write the files that are needed")
    options = vars(parser.parse_args())
    only_prepare = options.pop("prepare")
    out = own_stdout()
    try:
        task = Task(**options)
        if only_prepare:
            if prepare:
                prepare(task)
            return
        loaded = load(task)
        print(json.dumps({"ready": loaded.about}), file=out)
        for line in sys.stdin:
            print(json.dumps(answer(loaded, line)), file=out)
    except Exception as e:
        raise SystemExit(f"error: {one_line(e)}") from None
