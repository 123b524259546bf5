"""Folding, resuming, cropping and exporting. Run `python -m pytest tests` in training/."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

import crops
import export
import fold
import pictures
import soup
import stream
import train
import trainer as trainer_module
import weights
from grow import deepen, grow, lengthen
from networks import PRESETS, Luma, build, build_preset, parameters
from networks.dlsn import make_rotations
from recolour import to_luma
from soap import Soap
from trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def atlas(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 60, 84, 3), np.uint8)
    for i, picture in enumerate(noise):
        Image.fromarray(picture[:, : 84 - 12 * i]).save(tmp_path / f"{i}.png")
    return pictures.Atlas(tmp_path, 2, 1, CPU)


def options(**changes):
    base = dict(scale=2, seed=3, init_from=None, teacher=None, compile=False, rate=1e-3, steps=6,
                budget=1, batch=2, crop=16, psnr_share=0.5, average=0.9, workers=2,
                optimiser="adam", bf16=False, flavour=None)
    return SimpleNamespace(**base | changes)


def trainer(**changes):
    return Trainer(*parameters("luma-s", 2), options(**changes), CPU)


def test_fold_equals_branches():
    torch.manual_seed(0)
    wide = fold.WideConv(torch.nn.Conv2d(3, 5, 3, padding=1))
    for p in wide.parameters():
        torch.nn.init.normal_(p)
    x = torch.randn(2, 3, 7, 9)
    expected = F.conv2d(x, wide.weight, wide.bias, padding=1)
    expected += F.conv2d(F.conv2d(x, wide.squeeze[..., None, None]), wide.expand, padding=1)
    for mix, scale, edge in zip(wide.edge_mix, wide.edge_scale, wide.edges):
        y = F.conv2d(x, mix[..., None, None])
        expected += F.conv2d(y, (scale[:, None, None] * edge)[:, None], padding=1, groups=5)
    torch.testing.assert_close(wide(x), expected, rtol=1e-4, atol=1e-4)


def test_widening_keeps_the_function():
    plain = build_preset("luma-m", 3)
    x = torch.rand(1, 1, 9, 8)
    before, state = plain(x), {n: t.clone() for n, t in plain.state_dict().items()}
    wide = fold.widen(plain)
    torch.testing.assert_close(wide(x), before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fold.plain_state(wide), state, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
def test_resumed_equals_uninterrupted(atlas, tmp_path, optimiser):
    whole = trainer(optimiser=optimiser)
    for _ in range(6):
        whole.advance(atlas)
    first, second = trainer(optimiser=optimiser), trainer(seed=99, optimiser=optimiser)
    for _ in range(3):
        first.advance(atlas)
    first.save(tmp_path / "a.pt")
    second.restore(tmp_path / "a.pt")
    for _ in range(3):
        second.advance(atlas)
    torch.testing.assert_close(second.average, whole.average, rtol=0, atol=0)


def valley(name, seed, steps=300):
    """Where an optimiser ends in a stretched valley, turned in both sides of the kernel."""
    torch.manual_seed(seed)
    left, right = torch.randn(6, 6), torch.randn(9, 9)
    kernel = torch.nn.Parameter(torch.zeros(6, 1, 3, 3))
    optimiser = trainer_module.optimiser(name, [kernel], 0.05)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        loss = (left @ (kernel.view(6, 9) - 1) @ right).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


def test_soap_sees_what_moves_together():
    """Adam's rate for each number is no help there."""
    adam, soap = ([valley(name, seed) for seed in range(5)] for name in ("adam", "soap"))
    assert np.median(soap) < 0.1 * np.median(adam)


def test_crops_of_both_resolutions_agree(atlas):
    atlas.low = torch.arange(len(atlas.low), dtype=torch.float32)[:, None]
    index = []
    for offset, height, width in zip(atlas.offsets, atlas.heights, atlas.widths):
        plane = offset + torch.arange(height * width).view(height, width)
        index.append(plane.repeat_interleave(2, 0).repeat_interleave(2, 1).flatten())
    atlas.high = torch.cat(index).float()[:, None]
    low, high = atlas.batch(32, 10, torch.Generator().manual_seed(1))
    assert torch.equal(F.interpolate(low, scale_factor=2), high)


def test_export_round_trip(atlas, tmp_path, monkeypatch):
    done = trainer()
    done.advance(atlas)
    done.save(tmp_path / "a.pt")
    target = str(tmp_path / "a.safetensors")
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path / "a.pt"), target])
    export.main()
    model, metadata = weights.load_network(target)
    assert metadata["network"] == "luma" and metadata["scale"] == "2"
    torch.testing.assert_close(dict(model.state_dict()), done.average, rtol=0, atol=0)


def test_queue_goes_to_the_first_unfinished(tmp_path):
    queue = tmp_path / "queue.json"
    jobs = [dict(network="luma-s", scale=2, init_from="../a-x2.safetensors"),
            dict(network="luma-m", scale=2, init_from="luma-s-x2")]
    queue.write_text(json.dumps(jobs))
    asked = train.parser().parse_args(
        ["--queue", str(queue), "--data", "unused", "--out", str(tmp_path)])
    first = train.next_job(asked)
    assert (first.network, first.scale) == ("luma-s", 2)
    assert first.init_from == str(tmp_path / "../a-x2.safetensors")
    torch.save({"progress": 1.0}, tmp_path / "luma-s-x2.pt")
    following = train.next_job(asked)
    assert following.network == "luma-m"
    assert following.init_from == str(tmp_path / "luma-s-x2.pt")


def test_the_queue_asks_for_what_there_is():
    folder = Path(__file__).parents[1]
    known = vars(train.parser().parse_args(["--data", "unused", "--out", "unused"]))
    made = set()
    for job in json.loads((folder / "queue.json").read_text()):
        assert job["network"] in PRESETS and job.keys() <= known.keys()
        source = job.get("init_from")
        assert source is None or source in made or (folder / source).exists(), source
        made.add(f"{job['network']}-x{job['scale']}")


def test_other_scale_takes_the_body(atlas, tmp_path):
    done = trainer()
    done.advance(atlas)
    done.save(tmp_path / "a.pt")
    other = Trainer(*parameters("luma-s", 3), options(scale=3, init_from=tmp_path / "a.pt"), CPU)
    assert torch.equal(other.average["body.1.weight"], done.average["body.1.weight"])


@pytest.mark.parametrize("name", ["luma-s", "sdan-small"])
def test_other_scale_begins_as_the_nearest_pixels(name, tmp_path):
    family, params = parameters(name, 2)
    donor, model = (build(family, params, scale) for scale in (2, 4))
    weights.save(tmp_path / "x2.safetensors", donor.state_dict(), family, params, 2)
    trainer_module.adopt(model, tmp_path / "x2.safetensors")
    x = torch.rand(1, donor.channels, 9, 8)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), F.interpolate(donor(x), scale_factor=2))


def test_a_start_of_another_shape_is_refused(tmp_path):
    family, params = parameters("sdan-small", 2)
    narrow = build(family, params | {"dim": 24}, 2)
    weights.save(tmp_path / "a.safetensors", narrow.state_dict(), family, params | {"dim": 24}, 2)
    with pytest.raises(SystemExit, match="another shape"):
        trainer_module.adopt(build(family, params, 2), tmp_path / "a.safetensors")


def test_crops_larger_than_a_picture_are_refused(atlas):
    atlas.batch(4, 30, torch.Generator())
    with pytest.raises(SystemExit, match="1.png is too small|0.png is too small"):
        atlas.batch(4, 31, torch.Generator())


def test_time_without_steps_costs_little(atlas):
    clock = trainer_module.Clock()
    for seconds in [1, 1, 1, 100, 1, 100]:
        clock.add(seconds)
    assert clock.elapsed == 8
    # As after a checkpoint: the first step may be the one that was stopped.
    later = trainer_module.Clock(clock.elapsed, clock.step_seconds())
    later.add(50)
    assert later.elapsed == 10


def test_the_rate_rises_while_averages_are_young():
    rates = []
    made = trainer(steps=1000)
    for made.step in (0, 9, 59, 60, 500):
        rates.append(made.rate() / made.options.rate)
    assert rates[0] == pytest.approx(1 / 60, rel=0.01) and rates[1] < 0.2
    assert rates[2] > 0.98 and rates[3] > rates[4] == pytest.approx(0.5)


def test_a_teacher_is_heard_at_first_and_must_fit(atlas, tmp_path):
    for name in ("luma-m", "sdan-small"):
        path = tmp_path / f"{name}.safetensors"
        weights.save(path, build_preset(name, 2).state_dict(), *parameters(name, 2), 2)
    with pytest.raises(SystemExit, match="cannot teach"):
        trainer(teacher=tmp_path / "sdan-small.safetensors")
    taught, alone = trainer(teacher=tmp_path / "luma-m.safetensors", seed=3), trainer(seed=3)
    low, high = atlas.batch(2, 16, torch.Generator().manual_seed(1))
    first = [made.part((low, high))[0] for made in (taught, alone)]
    assert first[0] != first[1]
    taught.step = alone.step = 3  # of 6: from there on on PSNR
    assert taught.part((low, high))[0] == alone.part((low, high))[0]


def test_resuming_asks_for_the_same_flavour_and_optimiser(atlas, tmp_path):
    done = trainer()
    done.advance(atlas)
    done.save(tmp_path / "a.pt")
    for other in (trainer(flavour="stream"), trainer(optimiser="soap")):
        with pytest.raises(SystemExit, match="flavour or optimiser"):
            other.restore(tmp_path / "a.pt")


def test_grown_network_repeats_the_smaller():
    small, exact, skip = build_preset("luma-s", 2), Luma(2, 24, 5, False), build_preset("luma-m", 2)
    x = torch.rand(1, 1, 12, 11)
    grow(exact, small)
    torch.testing.assert_close(exact(x), small(x))
    grow(skip, small)
    torch.testing.assert_close(skip(x), small(x), rtol=0, atol=0.05)
    wider = build_preset("luma-l", 2)
    grow(wider, skip)
    torch.testing.assert_close(wider(x), skip(x))


def test_deeper_network_repeats_the_shallower():
    family, params = parameters("sdan-small", 2)
    shallow, deep = (build(family, params | {"blocks": n}, 2) for n in (1, 3))
    x = torch.rand(1, 3, 9, 8)
    deep.load_state_dict(deep.state_dict() | deepen(shallow.state_dict(), deep.fuse.in_channels))
    torch.testing.assert_close(deep(x), shallow(x))


def test_longer_network_repeats_the_shorter():
    short, long = build_preset("dlgsanet-tiny", 2).eval(), build_preset("dlgsanet-light", 2).eval()
    x = torch.rand(1, 3, 9, 8)
    long.load_state_dict(long.state_dict() | lengthen(long, short))
    torch.testing.assert_close(long(x), short(x))


def test_network_of_another_kind_is_no_start(tmp_path):
    path = tmp_path / "luma.safetensors"
    weights.save(path, build_preset("luma-s", 2).state_dict(), *parameters("luma-s", 2), 2)
    with pytest.raises(SystemExit, match="of the family luma"):
        trainer_module.adopt(build_preset("sdan-small", 2), path)


def test_network_of_y_repeats_that_of_colours_on_grey():
    family, params = parameters("sdan-small", 2)
    params |= {"blocks": 1}
    colours, luma = (build(family, params | {"colors": n}, 2) for n in (3, 1))
    luma.load_state_dict(to_luma(colours.state_dict()))

    def y(picture):
        shares = torch.tensor(pictures.LUMA_WEIGHTS).float()
        return torch.einsum("c,bchw->bhw", shares, picture)[:, None] + 16 / 255

    grey = torch.rand(1, 1, 48, 50).expand(-1, 3, -1, -1)
    # One module and the convolutions around it look 14 pixels far.
    inner = (..., slice(40, -40), slice(40, -40))
    torch.testing.assert_close(luma(y(grey))[inner], y(colours(grey))[inner])


def test_soup_is_the_mean_of_one_network(tmp_path, monkeypatch):
    states = [build_preset("luma-s", 2).state_dict() for _ in range(2)]
    kept = {"family": "luma", "params": parameters("luma-s", 2)[1], "scale": 2, "flavour": None}
    files = [str(tmp_path / name) for name in ("a.pt", "b.safetensors")]
    torch.save(kept | {"average": states[0]}, files[0])
    weights.save(files[1], states[1], kept["family"], kept["params"], kept["scale"])
    monkeypatch.setattr(sys, "argv", ["soup.py", *files, "--out", str(tmp_path / "c.pt")])
    soup.main()
    found = weights.load_network(tmp_path / "c.pt")[0].state_dict()
    torch.testing.assert_close(found["head.weight"],
                               (states[0]["head.weight"] + states[1]["head.weight"]) / 2)
    with pytest.raises(SystemExit, match="different"):
        soup.mean([kept | {"average": states[0]}, kept | {"scale": 3, "average": states[1]}])


def test_authors_dlsn_file():
    state = build_preset("dlsn-light", 2).state_dict()
    theirs = {n: t for n, t in state.items() if "rotations" not in n}
    theirs |= {"a": torch.zeros(1), "sub_mean.bias": torch.zeros(3)}
    ours = export.from_authors({"params": theirs}, "dlsn-light", 2, seed=1)[0]
    assert ours.keys() == state.keys()


@pytest.mark.parametrize("size", [1, 1e-7, 1e-20, 0])
def test_soap_stays_finite_however_small_gradients_are(size):
    torch.manual_seed(0)
    bias = torch.nn.Parameter(torch.zeros(128))
    steps = Soap([bias], lr=1.0)
    for _ in range(12):
        # Most channels are dead, some nearly.
        bias.grad = size * torch.randn(128) * (torch.rand(128) < 0.3) * 10 ** -torch.rand(128)
        steps.step()
    assert bias.isfinite().all() and bias.abs().max() < 30


def test_rotations_are_unit_columns():
    columns = make_rotations(2, 16)
    torch.testing.assert_close(columns.norm(dim=1), torch.ones(2, 128))
    run = columns[0, :, 16:32]
    torch.testing.assert_close(run.T @ run, torch.eye(16), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "dlsn"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_preset_enlarges(name, scale):
    model = build_preset(name, scale).eval()
    with torch.inference_mode():
        out = model(torch.rand(1, model.channels, 20, 17))
    assert out.shape == (1, model.channels, 20 * scale, 17 * scale)


@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_forms_resemble_the_clean_picture(channels):
    y, x = np.mgrid[:48, :64]
    picture = np.stack([2 * x + y, 200 - 2 * y, 60 + x][:channels], -1).astype(np.uint8)
    forms = stream.variants([picture] * 8, seed=1)
    assert len(forms) == stream.VARIANTS
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for form in forms for p in form)
    distances = [np.abs(p.astype(int) - picture).mean() for form in forms for p in form]
    assert min(distances) > 0 and max(distances) < 12


def test_an_atlas_draws_all_forms(tmp_path):
    Image.new("RGB", (64, 64), (100, 100, 100)).save(tmp_path / "grey.png")
    darker = lambda pictures: [[p - 50 for p in pictures], [p - 20 for p in pictures]]
    atlas = pictures.Atlas(tmp_path, 2, 3, CPU, darker)
    low, high = atlas.batch(60, 16, torch.Generator().manual_seed(1))
    assert set((255 * low[:, 0, 0, 0]).round().tolist()) == {100, 80, 50}
    assert torch.equal(high, torch.full_like(high, 100 / 255))


def test_crops_show_what_was_asked_for(tmp_path):
    y, x = np.mgrid[:40, :48]
    truth = Image.fromarray(np.stack([2 * x, 5 * y, x + y], -1).astype(np.uint8))
    panels = [("original", truth), ("the same", truth.copy())]
    out = np.asarray(crops.sheet(panels, (8, 4), 16, 2, 2))
    top, left, step = crops.TEXT + 2 * crops.GAP, crops.GAP, 32 + crops.GAP
    expected = np.asarray(truth)[4:20, 8:24].repeat(2, 0).repeat(2, 1)
    for start in (left, left + step):
        assert np.array_equal(out[top:top + 32, start:start + 32], expected)


@pytest.mark.parametrize("name", ["luma-s", "sdan-small"])
def test_crops_of_a_network_that_adds_nothing_are_plain(name):
    model = build_preset(name, 2)
    for parameter in model.tail.parameters():
        torch.nn.init.zeros_(parameter)
    y, x = np.mgrid[:20, :24]
    small = Image.fromarray(np.stack([8 * x, 9 * y, 100 + x], -1).astype(np.uint8))
    guess = np.asarray(crops.picture(model, small, 2)).astype(int)
    # Both networks then repeat pixels: a luma network those of Y, in the colours of Lanczos.
    nearest = small.resize((48, 40), Image.NEAREST)
    y_apart = pictures.luma(guess) - pictures.luma(nearest)
    assert np.abs(y_apart).max() < 1.2 if name == "luma-s" else not np.any(guess - nearest)
