"""What is cut out of large photographs. Run `python -m pytest tests` in training/."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiles


def pattern(width, height, grain=24):
    """Blocks of random greys with soft edges, busy everywhere."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (height // grain + 1, width // grain + 1), np.uint8)
    big = Image.fromarray(blocks).resize((width, height), Image.NEAREST)
    return big.filter(ImageFilter.BoxBlur(1)).convert("RGB")


def test_only_busy_parts_are_taken():
    half_flat = Image.new("RGB", (2 * tiles.SIDE, tiles.SIDE), (90, 90, 90))
    half_flat.paste(pattern(tiles.SIDE, tiles.SIDE), (tiles.SIDE, 0))
    assert tiles.good_tiles(half_flat, 8) == [(tiles.SIDE, 0, 2 * tiles.SIDE, tiles.SIDE)]


def test_blur_and_noise_are_not_taken():
    sharp = pattern(tiles.SIDE, tiles.SIDE)
    assert len(tiles.good_tiles(sharp, 8)) == 1
    blurred = sharp.filter(ImageFilter.GaussianBlur(12))
    noise = np.random.default_rng(2).normal(128, 12, (tiles.SIDE, tiles.SIDE))
    grain = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).convert("RGB")
    assert tiles.good_tiles(blurred, 8) == tiles.good_tiles(grain, 8) == []


def test_sizes():
    sizes = [version.size for version in tiles.reduced(pattern(3600, 2880))]
    assert sizes == [(1800, 1440), (1200, 960)]
    assert [v.size for v in tiles.reduced(pattern(1500, 1000))] == [(1200, 800)]
    assert list(tiles.reduced(pattern(1500, 500))) == []


def test_tiles_of_a_folder_have_names_of_their_own(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        pattern(1300, 1300).save(tmp_path / folder / "same.png")
    arguments = ["tiles.py", str(tmp_path / "a"), str(tmp_path / "b"), "--most", "2"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(tmp_path / "out")])
    tiles.main()
    found = [Image.open(p).size for p in (tmp_path / "out").iterdir()]
    assert found == [(tiles.SIDE, tiles.SIDE)] * 8
