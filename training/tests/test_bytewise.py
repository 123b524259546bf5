"""Training for bytes. Run `python -m pytest tests` in training/."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import bytewise
import calibrate
import fold
import quantized
from networks import Luma, parameters
from test_training import CPU, atlas, options  # noqa: F401


def network(skip):
    torch.manual_seed(1)
    model = Luma(2, 8, 2, skip)
    for layer in (model.head, *model.body):
        torch.nn.init.normal_(layer.bias, std=0.1)
    x = torch.randint(256, (2, 1, 20, 24)) / 255
    # Of a darker picture, so that some values are cut at the largest level.
    return model, [layer / quantized.LEVELS for layer in calibrate.largest(model, [0.7 * x])], x


@pytest.mark.parametrize("skip", [False, True])
@torch.no_grad()
def test_what_is_trained_is_what_is_computed(skip):
    model, steps, x = network(skip)
    expected = quantized.Quantized(model, [step.double() for step in steps])(x)
    # But for what f32 rounds to the other side of a half.
    for form in (model, fold.widen(model)):
        difference = (bytewise.forward(form, steps, x) - expected).abs()
        assert (difference > 1e-5).float().mean() < 0.02


def test_gradients_are_those_of_floats_but_for_the_rounding():
    model, steps, x = network(False)
    # With steps so large nothing is cut, so small that rounding hardly counts.
    even = [torch.full_like(step, 0.02) for step in steps]
    ours, theirs = (torch.autograd.grad(made.square().mean(), list(model.parameters()))
                    for made in (bytewise.forward(model, even, x), model(x)))
    for a, b in zip(ours, theirs):
        assert torch.cosine_similarity(a.flatten(), b.flatten(), 0) > 0.99


def test_smooth_pictures_are_flats_and_gentle_ramps():
    pictures = 255 * bytewise.smooth(64, torch.Generator().manual_seed(1), CPU)
    assert torch.equal(pictures, pictures.round())
    assert pictures.min() >= 0 and pictures.max() <= 255
    assert max(pictures.diff(dim=side).abs().max() for side in (2, 3)) <= 1
    assert 5 < sum(p.unique().numel() == 1 for p in pictures) < 40


def test_apart_sees_means_and_pixels():
    base = torch.zeros(1, 1, 8, 8)
    even, chequered, spot = base + 0.4 / 255, base + 0.4 / 255, base.clone()
    chequered[..., ::2] *= -1
    spot[..., 3, 3] = 1.5 / 255
    assert bytewise.apart(base, base) == bytewise.apart(base, chequered) == 0
    assert bytewise.apart(base, even) > 10
    assert bytewise.apart(base, spot) > 0.9


def test_flats_are_held_at_their_level():
    model = SimpleNamespace(scale=3, body=range(6))  # looks 8 pixels far
    flats = (torch.tensor([40.0, 80]) / 255).view(2, 1, 1, 1).expand(2, 1, 32, 32).clone()
    made = bytewise.nearest(flats, 3) + 0.8 / 255
    assert abs(bytewise.off_level(flats, made, model) - 0.25) < 1e-3
    made[..., 24:-24, 24:-24] = flats[..., :1, :1]
    assert bytewise.off_level(flats, made, model) < 1e-9
    flats[0, 0, 0, 0] = 0
    made = bytewise.nearest(flats, 3) + 0.8 / 255
    assert abs(bytewise.off_level(flats, made, model) - 0.125) < 1e-3


def test_a_step_trains_both(atlas):  # noqa: F811
    done = bytewise.ByteTrainer(*parameters("luma-s", 2), options(optimiser="soap"), CPU)
    before = {name: t.clone() for name, t in done.average.items()}
    assert all(done.advance(atlas).isfinite() for _ in range(3))
    assert all(not torch.equal(before[name], t) for name, t in done.average.items())


def test_going_on_from_a_checkpoint(atlas, tmp_path):  # noqa: F811
    first, second = (bytewise.ByteTrainer(*parameters("luma-s", 2), options(), CPU) for _ in "12")
    first.advance(atlas)
    first.save(tmp_path / "a.pt")
    second.restore(tmp_path / "a.pt")
    assert second.advance(atlas).isfinite()


def test_only_luma_is_trained_for_bytes():
    with pytest.raises(SystemExit, match="luma"):
        bytewise.ByteTrainer(*parameters("sdan", 2), options(), CPU)
