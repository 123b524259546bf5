"""Plants one bug at a time, as tests/mutants.toml lists them, and sees whether the tests notice.

    python3 scripts/mutants.py                all of them
    python3 scripts/mutants.py --first 3      the first three
    python3 scripts/mutants.py barrier        those whose name contains a word

A bug in a kernel needs no Rust compiler: its PTX is put in place of the embedded one. For one in Rust the workspace is
copied to target/mutants and built there. A bug that no test notices is an error, and so is one whose line is gone.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PLACE = TARGET / "mutants"
MINUTES = 15  # after which a run counts as hanging, which is noticed, too


class Mutant:
    def __init__(self, fields):
        self.name, self.file = fields["name"], fields["file"]
        self.line, self.bug = fields["line"], fields["bug"]
        self.test = fields["test"]

    def planted(self, text):
        """The text with the bug."""
        if text.count(self.line) != 1:
            raise SystemExit(f"{self.name}: {self.file} has {text.count(self.line)} places that read: {self.line}")
        return text.replace(self.line, self.bug)


def run_test(test, root, environment):
    """Whether a test, written as `target filter`, passes."""
    target, *name = test.split()
    # The whole workspace, as `make test` has built it: other features would build everything anew.
    command = ["cargo", "test", "--quiet", "--workspace", "--test", target]
    settings = {"cwd": root, "env": os.environ | environment, "capture_output": True, "text": True}
    # However long it takes to build, that is no hanging test, and what does not compile is no planted bug.
    built = subprocess.run([*command, "--no-run"], **settings)
    if built.returncode:
        raise SystemExit(f"{' '.join(command)} does not compile:\n{built.stderr}")
    command += ["--", *name]
    try:
        done = subprocess.run(command, timeout=60 * MINUTES, **settings)
    except subprocess.TimeoutExpired:
        return False, "it hung"
    text = done.stdout + done.stderr
    # Nothing matched, or nothing was built: neither says anything of the bug.
    if "test result: " not in text or "result: ok. 0 passed" in text:
        raise SystemExit(f"{' '.join(command)} did not run:\n{text}")
    return done.returncode == 0, text


def compile_kernels(kernels, ptx, names):
    command = [sys.executable, ROOT / "cuda/ptx.py", "--kernels", kernels, "--ptx", ptx, *names]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def users(header):
    """The kernel files that include a header, also through others."""
    sources = {p: p.read_text() for p in (ROOT / "cuda/kernels").rglob("*.cu*")}
    wanted, found = {header}, None
    while wanted != found:
        found = set(wanted)
        wanted |= {p for p, text in sources.items() if any(f'"{w.relative_to(ROOT / "cuda/kernels")}"' in text for w in found)}
    return sorted(p.stem for p in wanted if p.suffix == ".cu")


def with_kernel(mutant):
    """Runs a mutant's test with its kernels."""
    kernels, ptx = PLACE / "kernels", PLACE / "ptx"
    for folder, origin in ((kernels, "cuda/kernels"), (ptx, "cuda/ptx")):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / origin, folder)
    original = ROOT / mutant.file
    (kernels / original.relative_to(ROOT / "cuda/kernels")).write_text(mutant.planted(original.read_text()))
    compile_kernels(kernels, ptx, users(original))
    return run_test(mutant.test, ROOT, {"SRUP_CUDA_PTX": str(ptx)})


def with_source(mutant):
    """Runs a mutant's test in a copy of the workspace."""
    copy = PLACE / "workspace"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        here, there = ROOT / name, copy / name
        if here.is_file() and not (there.is_file() and there.read_bytes() == here.read_bytes()):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)
    there = copy / mutant.file
    there.write_text(mutant.planted(there.read_text()))
    try:
        return run_test(mutant.test, copy, {"CARGO_TARGET_DIR": str(PLACE / "target")})
    finally:
        shutil.copyfile(ROOT / mutant.file, there)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=int, help="how many of the list")
    parser.add_argument("word", nargs="?", default="", help="part of a name")
    options = parser.parse_args()
    # A copy of the workspace has no neighbour; its tests are to find the same data.
    os.environ.setdefault("SRUP_SHARED", str(ROOT.parent / "shared"))
    listed = tomllib.loads((ROOT / "tests/mutants.toml").read_text())["mutant"]
    chosen = [m for m in map(Mutant, listed) if options.word in m.name][: options.first]
    # A line that is gone shows before hours of tests.
    for mutant in chosen:
        mutant.planted((ROOT / mutant.file).read_text())
    for test in sorted({m.test for m in chosen}):
        passed, text = run_test(test, ROOT, {})
        if not passed:
            raise SystemExit(f"{test} fails without any bug:\n{text}")
    missed = []
    for mutant in chosen:
        kernel = mutant.file.startswith("cuda/kernels/")
        passed, _ = (with_kernel if kernel else with_source)(mutant)
        print(f"{'MISSED' if passed else 'noticed'}: {mutant.name}", flush=True)
        if passed:
            missed.append(mutant.name)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted bugs were noticed")
    if missed:
        raise SystemExit("no test notices: " + ", ".join(missed))


if __name__ == "__main__":
    main()
