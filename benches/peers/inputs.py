"""Pictures for input and calibration: of a folder, or made up."""

from pathlib import Path

import numpy as np

CALIBRATION = 4


def codes(picture: np.ndarray) -> np.ndarray:
    """Values 0..1 that 8-bit codes can have."""
    return (np.rint(picture.clip(0, 1) * 255) / 255).astype(np.float32)


def noise(random: np.random.Generator, channels: int, height: int, width: int, side: int) -> np.ndarray:
    """Random values a grid of `side` pixels apart, and lines between them."""
    grid = random.random((channels, height // side + 2, width // side + 2))
    y, x = np.arange(height) / side, np.arange(width) / side
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top)[:, None], x - left
    rows = grid[:, top] * (1 - down) + grid[:, top + 1] * down
    return rows[:, :, left] * (1 - right) + rows[:, :, left + 1] * right


def made_up(channels: int, height: int, width: int, seed: int) -> np.ndarray:
    """Like a photograph in what a network minds: energy that falls with frequency, hard edges, and grain."""
    random = np.random.default_rng(seed)
    picture = np.zeros((channels, height, width))
    for side in (96, 48, 24, 12, 6, 3):
        picture += side / 96 * (noise(random, channels, height, width, side) - 0.5)
    for _ in range(24):
        y, x = random.integers(height), random.integers(width)
        h, w = random.integers(4, height // 2 + 5), random.integers(4, width // 2 + 5)
        picture[:, y:y + h, x:x + w] += random.normal(0, 0.15, (channels, 1, 1))
    return codes(0.5 + 0.5 * picture + random.normal(0, 0.01, picture.shape))


def from_folder(folder: Path, channels: int, height: int, width: int) -> list[np.ndarray]:
    """The folder's pictures, scaled to cover that size and cropped to it."""
    from PIL import Image, ImageOps

    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not found:
        raise SystemExit(f"error: {folder} holds no pictures; give a folder of PNG or JPEG files")
    pictures = []
    for path in found[: CALIBRATION + 1]:
        with Image.open(path) as file:
            picture = ImageOps.fit(file.convert("L" if channels == 1 else "RGB"), (width, height))
        pictures.append(codes(np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1) / 255))
    return pictures


def pictures(folder: Path | None, channels: int, height: int, width: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The picture to time, and those to calibrate with; a folder of one picture gives the same for both."""
    if folder:
        first, *others = from_folder(folder, channels, height, width)
        return first, others or [first]
    first, *others = (made_up(channels, height, width, seed) for seed in range(CALIBRATION + 1))
    return first, others
