"""Y-PSNR and SSIM as super-resolution papers count them."""

import numpy as np

PEAK = 255.0


def shave(y, border):
    return y[border:-border, border:-border]


def psnr(a, b):
    return 10 * np.log10(PEAK**2 / np.mean((a - b) ** 2))


def _gauss(size=11, sigma=1.5):
    x = np.arange(size) - size // 2
    g = np.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum()


def _blur(y):
    """Gaussian mean of every full 11x11 window."""
    g = _gauss()
    rows = sum(w * y[i:y.shape[0] - len(g) + 1 + i] for i, w in enumerate(g))
    return sum(w * rows[:, i:rows.shape[1] - len(g) + 1 + i] for i, w in enumerate(g))


def ssim(a, b):
    """Wang et al. 2004: 11x11 Gaussian window, sigma 1.5, full windows only."""
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    cov = _blur(a * b) - mean_a * mean_b
    score = ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return score.mean()
