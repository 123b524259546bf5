"""From times to tables: the best setting of each contender, ratios, and the best peer of each class of precision."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from entries import OURS

CLASSES = ("f32", "bf16", "int8")


@dataclass(frozen=True)
class Result:
    """What one contender did in one case."""

    case: str
    network: str
    trained: bool
    size: str
    precision: str
    contender: str
    setting: str
    ms: float
    peak_mib: float
    difference: float
    about: str


@dataclass(frozen=True)
class Skipped:
    """Who did not run, and why."""

    case: str
    contender: str
    reason: str


def is_ours(result: Result) -> bool:
    return result.contender.split()[0] == OURS


def best_settings(results: Iterable[Result]) -> list[Result]:
    """Of each contender in a case only the fastest setting, in the order of the first."""
    best: dict[tuple[str, str], Result] = {}
    for result in results:
        key = (result.case, result.contender)
        if key not in best or result.ms < best[key].ms:
            best[key] = result
    return list(best.values())


def baseline(results: Iterable[Result], case: str, precision: str) -> Result | None:
    """Ours in that class: on the planes that the network sees, as all the others."""
    name = f"{OURS} {precision}"
    return next((r for r in results if r.case == case and r.contender == name), None)


def best_peer(results: Iterable[Result], case: str, precision: str) -> Result | None:
    """The fastest of the others in that class."""
    peers = [r for r in results if r.case == case and r.precision == precision and not is_ours(r)]
    return min(peers, key=lambda r: r.ms, default=None)


def cases(results: Iterable[Result]) -> list[Result]:
    """One result of each case, in order."""
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.case, result)
    return list(first.values())


def named(result: Result) -> str:
    return result.network if result.trained else f"{result.network} (random weights)"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def heading(*cells: str) -> list[str]:
    return [row(*cells), "|" + "---|" * len(cells)]


def detail(results: list[Result]) -> Iterator[str]:
    """A line for each contender: time over ours is above 1 where we are faster."""
    yield from heading("network", "size", "precision", "contender", "median ms", "times ours", "peak MiB",
                       "largest difference, codes of 255")
    for r in results:
        own = baseline(results, r.case, r.precision)
        ratio = f"{r.ms / own.ms:.2f}" if own else ""
        contender = f"{r.contender}, {r.setting}" if r.setting else r.contender
        yield row(named(r), r.size, r.precision, contender, f"{r.ms:.2f}", ratio, f"{r.peak_mib:.0f}",
                  f"{r.difference:.3f}")


def summary(results: list[Result]) -> Iterator[str]:
    """A line for each case and class: the best peer against ours."""
    yield from heading("network", "size", "precision", "ours ms", "best peer", "its ms", "we are times as fast")
    for case in cases(results):
        for precision in CLASSES:
            own, peer = baseline(results, case.case, precision), best_peer(results, case.case, precision)
            if not own and not peer:
                continue
            ratio = f"{peer.ms / own.ms:.2f}" if own and peer else ""
            yield row(named(case), case.size, precision, f"{own.ms:.2f}" if own else "", peer.contender if peer else "",
                      f"{peer.ms:.2f}" if peer else "", ratio)


def notes(results: list[Result], skipped: Iterable[Skipped]) -> Iterator[str]:
    """What each contender runs on, and who was left out."""
    yield "What each runs on:"
    yield ""
    for contender, about in dict.fromkeys((r.contender, r.about) for r in results):
        yield f"- {contender}: {about}"
    reasons: dict[tuple[str, str], list[str]] = {}
    for s in skipped:
        reasons.setdefault((s.contender, s.reason), []).append(s.case)
    if reasons:
        yield ""
        yield "Left out:"
        yield ""
    for (contender, reason), where in reasons.items():
        yield f"- {contender} ({', '.join(where)}): {reason}"


def markdown(results: list[Result], skipped: list[Skipped], head: str) -> str:
    """The whole report."""
    best = best_settings(results)
    parts = [[head], summary(best), detail(best), notes(best, skipped)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
