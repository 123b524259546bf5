"""Times our networks in every CPU runtime and in srupscale, in turns, and prints who is how fast.

Each contender has a process of its own with the same number of threads. In each round every one runs a few frames of the
same picture; medians over rounds count. Results go to OUT/peers.json, peers.md and peers.png.

    ./run.sh                                              everything: about half an hour on two cores
    ./run.sh --quick                                      the smallest case of each network, two rounds
    ./run.sh --cases luma-s --contenders 'srup|openvino'  some of it, by regular expressions
    ./run.sh --isa avx2 --threads 1                       as on a lesser machine
    ./run.sh --list                                       the names of cases and contenders
"""

import argparse
import json
import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import machine
from cases import CASES, ROOT, Case
from entries import Entry, entries
from measure import Measurement, Settings, clean, say
from table import Result, Skipped, markdown

QUICK = ("luma-s-x2-640x360", "luma-m-x2-640x360", "sdan-small-x2-640x360", "dlgsanet-tiny-x2-320x180")


def expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as e:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {e}") from None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=expression, default=expression(""), metavar="REGEX", help="only these cases")
    parser.add_argument("--contenders", type=expression, default=expression(""), metavar="REGEX",
                        help="only these contenders")
    parser.add_argument("--threads", type=int, default=2, help="threads of each contender (2)")
    parser.add_argument("--rounds", type=int, help="rounds of turns (5, quick 2); slow contenders take a third")
    parser.add_argument("--quick", action="store_true", help="a few cases, two rounds")
    parser.add_argument("--isa", choices=tuple(machine.ISAS), help="holds the runtimes that can be held to this")
    parser.add_argument("--pictures", type=Path, help="folder of pictures for input and calibration; else made up")
    parser.add_argument("--patience", type=float, default=300, help="seconds to prepare or start a contender (300)")
    parser.add_argument("--add", action="store_true", help="keeps the last report's other cases")
    parser.add_argument("--fresh", action="store_true", help="exports and quantises anew")
    parser.add_argument("--list", action="store_true", help="only names cases and contenders")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "peers", help="folder for results (target/peers)")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "contender",
                        help="srupscale's contender (target/release/contender)")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[tuple[Case, list[Entry]]]:
    """Cases, each with its contenders."""
    found = []
    for case in CASES:
        if options.cases.search(case.name) and (not options.quick or case.name in QUICK):
            luma = case.network.startswith("luma")
            found.append((case, [e for e in entries(luma) if options.contenders.search(e.name)]))
    return found


def check(options: argparse.Namespace) -> None:
    """Ends with a line where nothing could come of it."""
    lacking = machine.missing(options.isa, machine.flags()) if options.isa else []
    if lacking:
        raise SystemExit(f"error: --isa {options.isa} needs {', '.join(lacking)}, which this processor lacks")
    if options.pictures and not options.pictures.is_dir():
        raise SystemExit(f"error: {options.pictures} is no folder")
    if not options.binary.exists():
        raise SystemExit(f"error: {options.binary} is not there; build it: cargo build --release -p srup-benches")


def earlier(out: Path, head: str, names: set[str]) -> tuple[list[Result], list[Skipped]]:
    """What the last report has on other cases, where it was measured alike."""
    path = out / "peers.json"
    report = json.loads(path.read_text()) if path.exists() else {"head": head, "results": [], "skipped": []}
    if report["head"] != head:
        raise SystemExit(f"error: --add needs a report of the same kind; {path} is of: {report['head']}")
    results, skipped = (Result(**r) for r in report["results"]), (Skipped(**s) for s in report["skipped"])
    return [r for r in results if r.case not in names], [s for s in skipped if s.case not in names]


def write(out: Path, head: str, results: list[Result], skipped: list[Skipped]) -> str:
    """Files of the report; its Markdown."""
    report = {"head": head, "results": [asdict(r) for r in results], "skipped": [asdict(s) for s in skipped]}
    (out / "peers.json").write_text(json.dumps(report, indent=1))
    text = markdown(results, skipped, head)
    (out / "peers.md").write_text(text)
    try:
        import chart

        chart.draw(results, out / "peers.png")
    except ImportError:
        say("no matplotlib here: the chart is left out")
    return text


def main() -> None:
    options = arguments()
    plan = chosen(options)
    if options.list:
        for case, contenders in plan:
            print(f"{case.name}: {', '.join(e.name for e in contenders)}")
        return
    check(options)
    if not any(contenders for _, contenders in plan):
        raise SystemExit("error: no case or no contender has such a name; --list names them")
    rounds = options.rounds or (2 if options.quick else 5)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        clean(options.out)
    settings = Settings(options.binary.resolve(), options.out.resolve(), options.threads, rounds, options.isa,
                        options.pictures and options.pictures.resolve(), options.patience)
    head = f"{machine.describe(options.isa)}; {options.threads} threads each, {rounds} rounds"
    results, skipped = earlier(options.out, head, {case.name for case, _ in plan}) if options.add else ([], [])
    for case, contenders in plan:
        measurement = Measurement(case, settings)
        measurement.run(contenders)
        results += measurement.results
        skipped += measurement.skipped
        # Written after every case: an interrupted run keeps what it has.
        if results:
            write(options.out, head, results, skipped)
    if not results:
        raise SystemExit("error: no contender ran; the logs in target/peers/logs say why")
    print((options.out / "peers.md").read_text(), end="")


if __name__ == "__main__":
    # As with Ctrl-C: no contender outlives the run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
