"""Integers in place of floats. Run `python -m pytest tests` in training/."""

import math
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[1]))

import calibrate
import evaluate
import pictures
import precisions
import quantized
import weights
from networks import Luma, build, parameters

MODELS = Path(__file__).parents[2] / "models"


def steps_of(model, batches):
    return [layer.double() / quantized.LEVELS for layer in calibrate.largest(model, batches)]


def by_hand(integers, x):
    """Levels of the body's last layer, one pixel after the other, in Python's whole numbers."""
    def level(value):
        return min(quantized.LEVELS, round(float(value)))

    head = torch.nn.functional.conv2d(x, *integers.head, padding=1)[0]
    first = levels = np.vectorize(level)(head.clamp(min=0).numpy())
    assert np.array_equal(first, integers.first(x)[0].numpy())
    body = integers.layers[:-1]
    for weight, bias, factor in body:
        last = factor is body[-1][-1]
        weight, after = weight.numpy().astype(int), np.zeros_like(levels)
        padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)))
        for o, row, column in np.ndindex(after.shape):
            window = padded[:, row:row + 3, column:column + 3]
            total = int((window * weight[o]).sum()) + int(bias[o])
            value = max(0, total * float(factor[o]))
            if last and integers.skip is not None:
                value = np.float32(value) + np.float32(first[o, row, column]) * integers.skip[o].numpy()
            after[o, row, column] = level(value)
        levels = after
    return levels


@pytest.mark.parametrize("skip", [False, True])
@torch.no_grad()
def test_levels_are_those_of_the_formula(skip):
    torch.manual_seed(1)
    model = Luma(2, 4, 2, skip)
    for layer in (model.head, *model.body):
        torch.nn.init.normal_(layer.bias, std=0.1)
    x = torch.rand(1, 1, 5, 6)
    # Of a darker picture, so that some values are cut at the largest level.
    steps = steps_of(model, [0.7 * x])
    integers = quantized.Quantized(model, steps)
    levels = integers.levels(x)[0]
    assert levels.max() == quantized.LEVELS
    assert np.array_equal(levels.numpy(), by_hand(integers, x))
    # They stand for what the floats are, where nothing is cut.
    value = integers.levels(0.6 * x)[0] * quantized.per_channel(steps[-1])
    exact = model.features(0.6 * x)[-1][0]
    assert (value - exact).abs().max() <= 0.02 * exact.max()


def test_large_sums_are_exact():
    levels = torch.full((1, 48, 3, 3), float(quantized.LEVELS))
    levels[0, 0, 0, 0] -= 1
    weight = torch.full((1, 48, 3, 3), float(quantized.LARGEST_WEIGHT), dtype=torch.float64)
    total = quantized.convolve(levels, weight, None)[0, 0, 1, 1].item()
    assert total == quantized.LARGEST_WEIGHT * (quantized.LEVELS * 48 * 9 - 1)


def test_factors_serve_sums_of_either_size():
    random = torch.Generator().manual_seed(4)
    unit = 10 ** (8 * torch.rand(999, generator=random, dtype=torch.float64) - 9)
    sums = torch.randint(quantized.LARGEST_SUM, (999,), generator=random)
    for u, factor, total in zip(unit.tolist(), quantized.short(unit).numpy(), sums.tolist()):
        mantissa, exponent = math.frexp(u / 576)
        less = math.ldexp(round(mantissa * 2**20), exponent - 20)
        assert np.float32(less) == less and float(factor) == 576 * less
        assert np.float32(total) * factor == np.float32(576 * total) * np.float32(less)


def test_factors_of_layers_with_relu_are_whole_steps():
    torch.manual_seed(5)
    layer, before, after = torch.nn.Conv2d(4, 3, 3), torch.rand(4) + 0.1, torch.rand(3) + 0.1
    whole, _, unit = quantized.quantize(layer, before, after.double())
    factor = unit / after.double()
    assert torch.equal(factor.float().double(), factor)
    assert ((factor / quantized.FACTOR_STEP) % 1 == 0).all()
    assert whole.abs().max() <= quantized.LARGEST_WEIGHT


@torch.no_grad()
def test_weights_and_sums_fit():
    ones = torch.ones(48, dtype=torch.float64)
    random, even = torch.randn(1, 48, 3, 3), torch.ones(1, 48, 3, 3)
    random[0, 0, 0, 0] = 9  # one large weight decides, not the sum
    for weight, bias, widest in [(random, 0.0, True), (even, 9.0, False), (0 * even, 0.0, False)]:
        layer = torch.nn.Conv2d(48, 1, 3)
        layer.weight.copy_(weight)
        layer.bias.fill_(bias)
        whole, offset, _ = quantized.quantize(layer, ones)
        assert (whole.abs().max() == quantized.LARGEST_WEIGHT) == widest
        side = max((sign * whole).clamp(min=0).sum().item() for sign in (1, -1))
        most = quantized.LEVELS * side + offset.abs().item()
        assert most <= quantized.LARGEST_SUM


@torch.no_grad()
def test_biases_are_whole_units():
    model = Luma(2, 1, 1, False)
    for p in model.parameters():
        p.zero_()
    model.body[0].weight[0, 0, 1, 1] = quantized.LARGEST_WEIGHT
    model.body[0].bias[0] = 5.7
    # A unit of the sum is 1 and a level of the result 4: 5.7 would be level 1.
    steps = [torch.tensor([step], dtype=torch.float64) for step in (1, 4)]
    integers = quantized.Quantized(model, steps)
    assert integers.levels(torch.zeros(1, 1, 1, 1)).item() == 2


@torch.no_grad()
def test_far_too_small_activations_are_refused():
    model = Luma(2, 1, 1, False)
    model.body[0].weight.fill_(500)
    with pytest.raises(SystemExit, match="calibrate.py"):
        quantized.Quantized(model, [torch.ones(1).double()] * 2)


@pytest.mark.parametrize("name", ["luma-s-x2", "luma-s-x3", "luma-s-x4", "luma-m-x2"])
@torch.no_grad()
def test_flats_and_ramps_stay_smooth(name):
    """At most one code beside f32, and a quarter in the mean of any 64x64 block."""
    model, metadata = weights.load_network(MODELS / f"{name}.safetensors")
    integers = quantized.Quantized(model, quantized.steps(metadata))
    codes, blocks = precisions.apart(model, integers)
    assert codes <= 1
    assert blocks <= 0.25


def test_calibration_writes_metadata_and_nothing_else(tmp_path, monkeypatch):
    torch.manual_seed(2)
    model, path = Luma(2, 4, 1, False), tmp_path / "a.safetensors"
    params = dict(width=4, depth=1, head_skip=False)
    weights.save(path, model.state_dict(), "luma", params, 2, half=True)
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "pictures" / "a.png")

    def content():
        with safe_open(path, "pt") as file:
            return {n: file.get_tensor(n).clone() for n in file.keys()}, file.metadata()

    tensors, metadata = content()
    weights.annotate(path, path, int8_loss="0.001")  # of other steps
    monkeypatch.setattr(sys, "argv", ["calibrate.py", str(path), str(tmp_path / "pictures")])
    calibrate.main()
    after, described = content()
    assert {n: t.dtype for n, t in after.items()} == dict.fromkeys(tensors, torch.float16)
    assert all(torch.equal(after[n], t) for n, t in tensors.items())
    activations = described["activations"]
    assert described == metadata | {"activations": activations}
    assert [len(layer.split(",")) for layer in activations.split(";")] == [4, 4]

    # What was measured covers the pictures, and the integers run on it.
    integers, _ = evaluate.load(path, "int8")
    steps = quantized.steps(described)
    x = calibrate.small(tmp_path / "pictures" / "a.png", 2)
    seen = calibrate.largest(weights.load_network(path)[0], [x])
    for layer, step in zip(seen, steps):
        assert (layer <= step * quantized.LEVELS * 1.001).all()
    assert evaluate.run(integers, Image.fromarray(noise)).shape == (80, 120)


def test_what_integers_lose_is_recorded(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.safetensors"
    shutil.copy(MODELS / "luma-s-x2.safetensors", path)
    weights.annotate(path, path, int8_loss=None)
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(folder / "a.png")
    monkeypatch.setattr(precisions, "smooth", lambda: [torch.zeros(1, 1, 64, 64)])
    measure = ["evaluate.py", "--precision", "int8", str(path), *map(str, folders)]
    monkeypatch.setattr(sys, "argv", measure)
    evaluate.main()
    assert "int8_loss" not in weights.load(path)[1]
    monkeypatch.setattr(sys, "argv", [*measure, "--record"])
    evaluate.main()
    recorded = float(weights.load(path)[1]["int8_loss"])
    models = [evaluate.load(path, precision)[0] for precision in ("f32", "int8")]
    losses = []
    for folder in folders:
        before, after = (evaluate.scores(partial(evaluate.run, model), pictures.find(folder), 2)[0]
                         for model in models)
        losses.append(before - after)
    assert losses[0] != losses[1]
    assert recorded == pytest.approx(max(losses), abs=0.0005)


def test_f16_rounds_what_convolutions_read():
    torch.manual_seed(3)
    models = [Luma(2, 4, 1, True) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    exact, rounded = models[0], precisions.change(models[1], {}, "f16")
    x = torch.rand(1, 1, 8, 8)
    codes = x.half().float()
    assert torch.equal(exact.head(codes), rounded.head(x))
    assert not torch.equal(exact.head(x), rounded.head(x))


def sdan_and_rounded(precision):
    family, params = parameters("sdan-small", 2)
    torch.manual_seed(3)
    exact, other = (build(family, params | {"blocks": 1}, 2) for _ in range(2))
    other.load_state_dict(exact.state_dict())
    return exact, precisions.change(other, {}, precision)


def test_bf16_rounds_what_products_of_the_cpu_read():
    exact, rounded = sdan_and_rounded("bf16")
    x = torch.rand(1, 3, 9, 9)
    assert torch.equal(exact.head(x), rounded.head(x))
    far = (exact(x) - rounded(x)).abs().max()
    assert 1e-6 < far < 1e-2
    y = torch.rand(1, exact.fuse.in_channels, 4, 4)
    codes, kernel = y.bfloat16().float(), exact.fuse.weight.bfloat16().float()
    expected = torch.nn.functional.conv2d(codes, kernel, exact.fuse.bias)
    torch.testing.assert_close(rounded.fuse(y), expected)


def test_int8_of_other_networks_has_a_step_for_each_pixel():
    exact, rounded = sdan_and_rounded("int8")
    x = torch.rand(1, 3, 9, 9)
    far = (exact(x) - rounded(x)).abs().max()
    assert torch.equal(exact.head(x), rounded.head(x)) and 1e-6 < far < 2e-2
    # Pixels of any size are as exact.
    y = torch.rand(1, exact.fuse.in_channels, 2, 2) * torch.tensor([[1, 1e3], [1e6, 1e9]])
    step = y.amax(1, keepdim=True).clamp(min=precisions.LEAST) / 127
    unit = exact.fuse.weight.abs().amax(1, keepdim=True) / 127
    codes, kernel = (y / step).round(), (exact.fuse.weight / unit).round()
    expected = torch.einsum("oc,bcyx->boyx", kernel[..., 0, 0].double(), codes.double())
    expected = expected * step * unit.view(-1, 1, 1) + exact.fuse.bias.view(-1, 1, 1)
    # In f32 sums are exact to some units in the last place of the largest product.
    assert ((rounded.fuse(y) - expected) / (127 * step)).abs().max() < 1e-5


def test_pictures_that_wake_nothing_leave_room():
    model = Luma(2, 4, 1, False)
    torch.nn.init.constant_(model.head.bias, -9)
    torch.nn.init.constant_(model.head.bias[:1], 1)
    head = calibrate.largest(model, [torch.zeros(1, 1, 8, 8)])[0]
    assert head.tolist() == [1.0] + [calibrate.FLOOR] * 3


def test_a_file_without_activations_says_what_to_do(tmp_path):
    model = Luma(2, 4, 1, False)
    params = dict(width=4, depth=1, head_skip=False)
    weights.save(tmp_path / "a.safetensors", model.state_dict(), "luma", params, 2)
    with pytest.raises(SystemExit, match="calibrate.py"):
        evaluate.load(tmp_path / "a.safetensors", "int8")
