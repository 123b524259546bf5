"""One case: contenders are prepared, started, timed in turns, and asked for their output."""

import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import machine
from cases import Case
from entries import OURS, Entry
from process import Contender, Failed, finish
from table import Result, Skipped

# A turn lasts about so long, so that no contender has the machine's clock and caches longer than another.
TURN_MS, TURN_FRAMES = 600, 8
# Idle threads of the last turn's contender stop spinning within this time.
PAUSE = 0.15
# Frames slower than this are timed in a third of the rounds, one a turn.
SLOW_MS = 2000


@dataclass(frozen=True)
class Settings:
    """What holds for a whole run."""

    binary: Path
    out: Path
    threads: int
    rounds: int
    isa: str | None
    pictures: Path | None
    patience: float

    def env(self) -> dict[str, str]:
        return machine.environment(self.threads, self.isa, self.out / "inductor")

    def log(self, name: str) -> Path:
        folder = self.out / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Runner:
    """A contender in its turns."""

    def __init__(self, entry: Entry, process: Contender) -> None:
        self.entry, self.process = entry, process
        self.rounds: list[float] = []
        self.estimate = process.frames(1)[0]
        if not self.slow:
            self.estimate = process.frames(2)[-1]

    @property
    def slow(self) -> bool:
        return self.estimate > SLOW_MS

    def turn(self, number: int) -> None:
        """The first frame finds the caches full of another contender's data, and is not counted."""
        if self.slow:
            if number % 3 == 0:
                self.rounds += self.process.frames(1)
            return
        count = max(1, min(TURN_FRAMES, int(TURN_MS / self.estimate)))
        self.rounds.append(statistics.median(self.process.frames(count + 1)[1:]))


class Measurement:
    """One case of a run."""

    def __init__(self, case: Case, settings: Settings) -> None:
        self.case, self.settings = case, settings
        self.folder = settings.out / "cases" / case.name
        self.results: list[Result] = []
        self.skipped: list[Skipped] = []
        # Why a runtime's files for a precision are not there; None where they are.
        self.prepared: dict[tuple[str, str], str | None] = {}

    def run(self, entries: list[Entry]) -> None:
        """Everything, for the contenders given."""
        say(f"{self.case.name}: exporting")
        command = [sys.executable, "export.py", self.case.name, self.folder]
        if self.settings.pictures:
            command += ["--pictures", self.settings.pictures]
        try:
            finish(command, self.settings.env(), self.settings.log(f"{self.case.name}-export"), self.settings.patience)
        except Failed as e:
            # What needs no ONNX file can run all the same.
            if not (self.folder / "case.json").exists():
                self.skip("everything", str(e))
                return
        runners: list[Runner] = []
        try:
            for entry in entries:
                runners += self.started(entry)
            self.take_turns(runners)
            self.results = [result for runner in runners for result in self.finished(runner)]
        finally:
            for runner in runners:
                runner.process.close()

    def skip(self, name: str, reason: str) -> None:
        self.skipped.append(Skipped(self.case.name, name, reason))
        say(f"{self.case.name}: {name} is left out: {reason}")

    def command(self, entry: Entry) -> list[str | Path]:
        settings, case = self.settings, self.case
        if entry.runtime == OURS:
            weights = case.trained or self.folder / "random.safetensors"
            form = ["--format", entry.kind] if entry.kind else []
            return [settings.binary, "--network", weights, "--scale", str(case.scale), "--precision", entry.precision,
                    "--size", f"{case.width}x{case.height}", "--threads", str(settings.threads),
                    "--input", self.folder / "input.f32", *form]
        return [sys.executable, "-m", f"contenders.{entry.runtime}", self.folder, "--precision", entry.precision,
                "--kind", entry.kind, "--setting", entry.setting, "--threads", str(settings.threads)]

    def prepare(self, entry: Entry) -> None:
        """Has the runtime write its files, once for all settings."""
        key = (entry.runtime, entry.precision)
        if key not in self.prepared:
            log = self.settings.log(f"{self.case.name}-{entry.contender}-prepare")
            try:
                finish([*self.command(entry), "--prepare"], self.settings.env(), log, self.settings.patience)
                self.prepared[key] = None
            except Failed as e:
                self.prepared[key] = str(e)
        if self.prepared[key]:
            raise Failed(self.prepared[key])

    def started(self, entry: Entry) -> list[Runner]:
        """The contender, prepared, started and warm; none where that fails, which is said."""
        say(f"{self.case.name}: starting {entry.name}")
        settings, process = self.settings, None
        try:
            if entry.runtime != OURS:
                self.prepare(entry)
            log = settings.log(f"{self.case.name}-{entry.name}")
            process = Contender(self.command(entry), settings.env(), log, settings.patience)
            return [Runner(entry, process)]
        except Failed as e:
            self.skip(entry.name, str(e))
            if process:
                process.close()
            return []

    def take_turns(self, runners: list[Runner]) -> None:
        for number in range(self.settings.rounds):
            say(f"{self.case.name}: round {number + 1} of {self.settings.rounds}")
            # Another one begins each round: none is always behind the same.
            start = number % max(1, len(runners))
            for runner in runners[start:] + runners[:start]:
                time.sleep(PAUSE)
                try:
                    runner.turn(number)
                except Failed as e:
                    self.skip(runner.entry.name, str(e))
                    runner.process.close()
                    runners.remove(runner)

    def difference(self, process: Contender) -> float:
        """The largest one of a contender's output from PyTorch's in f32, in codes of 255."""
        path = self.folder / "output.f32"
        process.ask(output=str(path))
        reference, output = (np.fromfile(p, np.float32) for p in (self.folder / "reference.f32", path))
        if output.size != reference.size:
            raise Failed(f"its output has {output.size} values, not {reference.size}")
        return float(np.abs(output - reference).max() * 255)

    def finished(self, runner: Runner) -> list[Result]:
        entry, case, process = runner.entry, self.case, runner.process
        peak = process.peak()
        try:
            difference = self.difference(process)
        except Failed as e:
            self.skip(entry.name, str(e))
            return []
        return [Result(
            case=case.name, network=f"{case.network} x{case.scale}", trained=case.trained is not None,
            size=f"{case.width}x{case.height}", precision=entry.precision, contender=entry.contender,
            setting=entry.setting, ms=statistics.median(runner.rounds), peak_mib=peak, difference=difference,
            about=process.about)]


def clean(out: Path) -> None:
    """Forgets what was exported and converted before."""
    for name in ("cases", "logs"):
        shutil.rmtree(out / name, ignore_errors=True)
