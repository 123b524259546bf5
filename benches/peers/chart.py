"""A bar chart of a report, where matplotlib is installed."""

from pathlib import Path

from table import OURS, Result, best_settings, cases, is_ours, named


def draw(results: list[Result], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    best = best_settings(results)
    shown = cases(best)
    figure, axes = pyplot.subplots(len(shown), squeeze=False, figsize=(9, 3.2 * len(shown)), layout="constrained")
    for axis, case in zip(axes[:, 0], shown):
        bars = sorted((r for r in best if r.case == case.case), key=lambda r: -r.ms)
        drawn = axis.barh([r.contender for r in bars], [r.ms for r in bars],
                          color=["tab:orange" if is_ours(r) else "tab:blue" for r in bars])
        axis.bar_label(drawn, fmt="%.1f", padding=3)
        axis.set_title(f"{named(case)}, {case.size}: ms a frame, {OURS} in orange")
        axis.margins(x=0.12)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
