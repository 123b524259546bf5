"""A contender's process, driven by lines of JSON."""

import json
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Failed(Exception):
    """A contender that cannot go on; the text is the reason, in one line."""


def last_words(log: Path, status: int) -> str:
    """The reason that a process gave before it ended."""
    if status < 0:
        return f"it was ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    spoken = [line for line in lines if line.startswith("error: ")] or lines[-1:]
    return spoken[-1].removeprefix("error: ") if spoken else "it ended without a word"


def finish(command: Sequence[str | Path], env: dict[str, str], log: Path, seconds: float) -> None:
    """Runs a command to its end."""
    with log.open("w") as file:
        try:
            done = subprocess.run(command, cwd=HERE, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                  timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"not prepared within {seconds:.0f} s") from None
    if done.returncode:
        raise Failed(last_words(log, done.returncode))


class Contender:
    """A process that has its network loaded."""

    def __init__(self, command: Sequence[str | Path], env: dict[str, str], log: Path, seconds: float) -> None:
        self.log, self.seconds = log, seconds
        with log.open("w") as file:
            self.process = subprocess.Popen(command, cwd=HERE, env=env, text=True, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=file)
        try:
            self.about: str = self.hear()["ready"]
        except Failed:
            self.close()
            raise

    def hear(self) -> dict[str, Any]:
        # One answer to each question: nothing can be left in the buffer that select does not see.
        if not select.select([self.process.stdout], [], [], self.seconds)[0]:
            raise Failed(f"no answer within {self.seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(last_words(self.log, self.process.wait()))
        return json.loads(line)

    def ask(self, **question: Any) -> dict[str, Any]:
        try:
            print(json.dumps(question), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed(last_words(self.log, self.process.wait())) from None
        return self.hear()

    def frames(self, count: int) -> list[float]:
        """Milliseconds of each of so many frames."""
        return self.ask(frames=count)["ms"]

    def peak(self) -> float:
        """The most memory that the process ever held, in MiB: program, libraries, weights, frames and workspaces."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
