//! Every block and network against the reference, on both sides of every edge, for every instruction set.

use super::*;
use crate::backend::reference;
use crate::frame::{Colour, PixelFormat};
use crate::network::{
    Activation, Block, Conv, DepthwiseConv, Dlgsanet, Dlsn, LayerNorm, Luma, Network, Preset, Sdan, Step,
};

/// The largest error, relative to the reference's range (at least 1, so that a flat picture is judged as well).
const TOLERANCE: f32 = 2e-5;

/// Numbers from -1 to 1 that repeat by seed.
pub(super) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// Flat pictures at both ends, a ramp, and noise.
fn pictures(channels: usize, height: usize, width: usize) -> Vec<Tensor> {
    let len = channels * height * width;
    let ramp = (0..len).map(|i| (i % width) as f32 / width as f32).collect();
    let noise = noise(len, 3).iter().map(|v| 0.5 + 0.5 * v).collect();
    [vec![0.0; len], vec![1.0; len], ramp, noise].map(|d| Tensor::from_vec(channels, height, width, d)).into()
}

const SIZES: [(usize, usize); 9] = [(1, 1), (1, 37), (41, 1), (2, 3), (7, 8), (19, 23), (33, 25), (50, 49), (9, 113)];

/// Compares all instruction sets and several numbers of threads: with the reference, and with each other bit by bit.
fn check(name: &str, network: &Network, input: &Tensor) {
    let truth = reference::run(network, input);
    let (low, high) = truth.data.iter().fold((0.0_f32, 0.0_f32), |(l, h), &v| (l.min(v), h.max(v)));
    let allowed = TOLERANCE * (high - low).max(1.0);
    for isa in Isa::all() {
        let run = |threads| Cpu::with_isa(isa, threads).unwrap().run(network, Precision::F32, input).unwrap();
        let one = run(1);
        let size = (input.height, input.width);
        assert_eq!((one.channels, one.height, one.width), (truth.channels, truth.height, truth.width));
        for (i, (found, expected)) in one.data.iter().zip(&truth.data).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= allowed, "{name} {size:?} {}: value {i} is {found}, not {expected}", isa.name());
        }
        for threads in [2, 3] {
            assert!(run(threads).data == one.data, "{name} {size:?} {}: {threads} threads differ", isa.name());
        }
    }
}

/// A network of one block on `inputs` copies of the input.
fn single(block: Block, channels: usize, inputs: usize) -> Network {
    let step = Step { block, inputs: vec![0; inputs], output: 1 };
    let preset = Preset::Luma(Luma { width: 1, depth: 1, head_skip: false });
    let name = "block".into();
    Network {
        name,
        preset,
        scale: 2,
        channels,
        steps: vec![step],
        output: 1,
        values: 2,
        parameters: 0,
        activations: Vec::new(),
        integer_loss: None,
        bfloat_loss: None,
        quality: None,
        flavour: None,
    }
}

fn check_block(name: &str, block: &Block, channels: usize, inputs: usize) {
    let network = single(block.clone(), channels, inputs);
    for (height, width) in SIZES {
        for picture in pictures(channels, height, width) {
            check(name, &network, &picture);
        }
    }
}

fn dense(cin: usize, cout: usize, kernel: usize, activation: Activation) -> Conv {
    let weight = noise(cout * cin * kernel * kernel, 5);
    Conv { cin, cout, kernel, weight, bias: noise(cout, 6), activation }
}

#[test]
fn convolutions_of_any_channels() {
    for (cin, cout) in [(1, 1), (1, 16), (3, 5), (7, 4), (16, 9)] {
        for (kernel, activation) in [(1, Activation::Gelu), (3, Activation::Relu), (3, Activation::None)] {
            let conv = dense(cin, cout, kernel, activation);
            check_block(&format!("conv {cin} {cout} {kernel}"), &Block::Conv(conv), cin, 1);
        }
    }
    check_block("conv of three inputs", &Block::Conv(dense(6, 5, 3, Activation::None)), 2, 3);
}

/// More than the first-level cache holds, a sum behind them.
#[test]
fn convolutions_of_many_channels() {
    for (cin, cout) in [(129, 3), (300, 6)] {
        let mut network = single(Block::Conv(dense(cin, cout, 1, Activation::Gelu)), cin, 1);
        let step = |block, inputs: &[usize], output| Step { block, inputs: inputs.to_vec(), output };
        let second = Block::Conv(dense(cin, cout, 1, Activation::Relu));
        network.steps.extend([step(second, &[0], 2), step(Block::Add { scale: 0.5 }, &[1, 2], 3)]);
        (network.output, network.values) = (3, 4);
        for (height, width) in SIZES {
            for picture in pictures(cin, height, width) {
                check(&format!("many {cin} {cout}"), &network, &picture);
            }
        }
    }
}

#[test]
fn convolutions_in_blocks_of_rows() {
    for (cin, cout, activation) in [(12, 12, Activation::Gelu), (13, 70, Activation::Relu)] {
        check_block(&format!("blocks {cin} {cout}"), &Block::Conv(dense(cin, cout, 3, activation)), cin, 1);
    }
    check_block("blocks of three inputs", &Block::Conv(dense(15, 14, 3, Activation::None)), 5, 3);
}

/// Blocks that follow each other, the second's result added to what the first reads.
#[test]
fn residual_blocks_in_blocks_of_rows() {
    let mut network = single(Block::Conv(dense(12, 12, 3, Activation::Relu)), 12, 1);
    // A luma network would be a chain.
    network.preset = small_presets().swap_remove(6);
    let mut push = |block, inputs: &[usize]| {
        network.steps.push(Step { block, inputs: inputs.to_vec(), output: network.values });
        network.values += 1;
        network.values - 1
    };
    let mut scaled = dense(12, 12, 3, Activation::None);
    scaled.weight.iter_mut().for_each(|w| *w *= 0.1);
    let second = push(Block::Conv(scaled.clone()), &[1]);
    let sum = push(Block::Add { scale: 0.5 }, &[0, second]);
    let third = push(Block::Conv(scaled), &[sum]);
    network.output = push(Block::Add { scale: 2.0 }, &[third, sum]);
    for (height, width) in SIZES {
        for picture in pictures(12, height, width) {
            check("residual blocks", &network, &picture);
        }
    }
}

#[test]
fn simple_blocks() {
    let norm = LayerNorm { weight: noise(5, 1), bias: noise(5, 2) };
    check_block("layer norm", &Block::LayerNorm(norm), 5, 1);
    check_block("add", &Block::Add { scale: 0.3 }, 2, 2);
    check_block("shift", &Block::Shift { offset: vec![0.5, -1.0] }, 2, 1);
    for factor in 2..=4 {
        check_block("pixel shuffle", &Block::PixelShuffle { factor }, 2 * factor * factor, 1);
        check_block("nearest", &Block::Nearest { factor }, 2, 1);
    }
    check_block("extend", &Block::Extend { side: 16 }, 2, 1);
}

#[test]
fn a_shift_after_a_pixel_shuffle_knows_its_channels() {
    let mut network = single(Block::PixelShuffle { factor: 3 }, 18, 1);
    network.steps.push(Step { block: Block::Shift { offset: vec![0.5, -1.0] }, inputs: vec![1], output: 2 });
    (network.output, network.values) = (2, 3);
    for (height, width) in SIZES {
        check("shuffle, shift", &network, &pictures(18, height, width)[3]);
    }
}

/// Blocks of all families, in networks that are as small as they can be.
fn small_presets() -> Vec<Preset> {
    let lka = vec![[3, 5, 1].into(), [5, 7, 2].into()];
    let dlgsanet = |tlc_kernel| Dlgsanet {
        dim: 12,
        groups: 1,
        blocks: 1,
        window_size: 7,
        group_channels: 4,
        heads: 2,
        tlc_kernel,
    };
    let dlsn = |chunk_size| Dlsn {
        n_feats: 6,
        n_modules: 2,
        n_resblocks: 1,
        reduction: 2,
        chunk_size,
        n_hashes: 2,
        res_scale: 0.5,
    };
    vec![
        Preset::Luma(Luma { width: 5, depth: 4, head_skip: true }),
        Preset::Luma(Luma { width: 16, depth: 3, head_skip: false }),
        Preset::Luma(Luma { width: 24, depth: 2, head_skip: true }),
        Preset::Luma(Luma { width: 8, depth: 1, head_skip: true }),
        Preset::Luma(Luma { width: 32, depth: 2, head_skip: true }),
        Preset::Luma(Luma { width: 48, depth: 1, head_skip: false }),
        Preset::Sdan(Sdan { dim: 10, blocks: 2, steps: 2, distill: 3, lka: lka.clone() }),
        Preset::Sdan(Sdan { dim: 9, blocks: 5, steps: 1, distill: 2, lka: lka[..1].to_vec() }),
        Preset::Dlgsanet(dlgsanet(9)),
        Preset::Dlgsanet(dlgsanet(96)),
        Preset::Dlsn(dlsn(27)),
        Preset::Dlsn(dlsn(128)),
    ]
}

/// Random weights can bring hash values of DLSN so close to each other that the rounding of a sum decides; then the whole
/// result is another one. Flat pictures do so by nature: left out for DLSN, whose golden vectors are chosen to be clear.
#[test]
fn networks_of_every_family_scale_and_size() {
    for (i, preset) in small_presets().into_iter().enumerate() {
        let hashes = matches!(preset, Preset::Dlsn(_));
        let network = Network::random(preset, 2 + i % 3, 7);
        for (height, width) in SIZES {
            for picture in pictures(network.channels, height, width).into_iter().skip(if hashes { 3 } else { 0 }) {
                check(&network.name, &network, &picture);
            }
        }
    }
}

#[test]
fn luma_frames_that_are_cut_into_strips() {
    for (head_skip, scale) in [(false, 2), (true, 3)] {
        let network = Network::random(Preset::Luma(Luma { width: 8, depth: 2, head_skip }), scale, 5);
        for (height, width) in [(1, 641), (6, 1283), (13, 1300)] {
            for picture in pictures(1, height, width) {
                check("strips", &network, &picture);
            }
        }
    }
}

/// A luma network whose layers' largest values are known: found on noise, and a bit less, so that some are cut off.
fn calibrated(luma: &Luma, scale: usize) -> Network {
    let mut network = Network::random(Preset::Luma(luma.clone()), scale, 5);
    let picture = &pictures(1, 40, 40)[3];
    let mut values = vec![picture.clone()];
    for step in &network.steps {
        let inputs: Vec<_> = step.inputs.iter().map(|&v| &values[v]).collect();
        let made = reference::apply(&step.block, &inputs);
        values.push(made);
    }
    let layer = |v: usize| -> Vec<f32> {
        let channel = |c| values[v].plane(c).iter().fold(0.1_f32, |m, v| m.max(*v)) * 0.9;
        (0..luma.width).map(channel).collect()
    };
    network.activations = (1..=luma.depth + 1).map(layer).collect();
    if luma.head_skip {
        network.activations[luma.depth] = layer(luma.depth + 2);
    }
    network
}

/// All ways that an instruction set has to compute in integers, but those that it shares with a weaker one.
fn all_integers(isa: Isa, network: &Network) -> Vec<Arc<dyn RowNetwork>> {
    let mut all: Vec<Arc<dyn RowNetwork>> = vec![];
    if !isa.tiles() {
        all.push(Arc::new(Chain::integers(isa, network).expect("it has an integer form")));
    }
    #[cfg(target_arch = "x86_64")]
    all.extend(direct::Direct::bytes(isa, network).map(|bytes| Arc::new(bytes) as _));
    all
}

#[test]
fn integers_are_the_same_to_the_bit_on_every_instruction_set() {
    let widths = [
        (8, 3, true),
        (16, 2, false),
        (16, 3, true),
        (24, 1, true),
        (32, 2, true),
        (40, 1, false),
        (48, 2, true),
        (5, 1, true),
    ];
    for (i, (width, depth, head_skip)) in widths.into_iter().enumerate() {
        let network = calibrated(&Luma { width, depth, head_skip }, 2 + i % 3);
        let sizes = if i < 2 { vec![(6, 1283), (1, 641), (5, 3001)] } else { SIZES.to_vec() };
        for (height, picture_width) in sizes {
            for (kind, picture) in pictures(1, height, picture_width).into_iter().enumerate() {
                let truth = reference::Reference.run(&network, Precision::Int8, &picture).unwrap();
                // Where tiles are trapped they take their time: noise alone.
                let all = if kind == 3 { Isa::all_and_amx() } else { Isa::all() };
                for isa in all {
                    let ways = all_integers(isa, &network);
                    for (way, threads) in ways.iter().flat_map(|way| [(way, 1), (way, 3)]) {
                        let mut made = Tensor::zeros(1, truth.height, truth.width);
                        way.clone().start(pool(threads).unwrap())(&picture, &PlaneRows::new(&mut made));
                        let first = made.data.iter().zip(&truth.data).position(|(a, b)| a != b);
                        let name = format!("{width} {depth} {head_skip} {height}x{picture_width}");
                        assert_eq!(first, None, "{name} {} {threads}", isa.name());
                    }
                }
            }
        }
    }
}

/// How far a network's result is from that in f32, and the largest value of that. Threads make no difference.
fn far_in(precision: Precision, isa: Isa, network: &Network, picture: &Tensor) -> (f32, f32) {
    let run = |threads, precision| Cpu::with_isa(isa, threads).unwrap().run(network, precision, picture).unwrap();
    let (exact, made) = (run(1, Precision::F32), run(1, precision));
    assert!(run(3, precision) == made, "{} {}: threads", network.name, isa.name());
    let largest = |of: &dyn Fn(usize) -> f32| (0..exact.data.len()).fold(0.0_f32, |most, i| most.max(of(i).abs()));
    (largest(&|i| exact.data[i] - made.data[i]), largest(&|i| exact.data[i]))
}

#[test]
fn luma_in_bf16_is_near_f32_at_every_size() {
    let Some(isa) = Isa::all_and_amx().into_iter().find(|isa| isa.tiles()) else {
        println!("skipped: this processor has no BF16");
        return;
    };
    let widths = [(16, 3, false), (32, 2, true), (48, 2, true), (5, 1, true)];
    for (i, (width, depth, head_skip)) in widths.into_iter().enumerate() {
        let network = Network::random(Preset::Luma(Luma { width, depth, head_skip }), 2 + i % 3, 7);
        let sizes = if i == 0 { vec![(6, 1283)] } else { SIZES.to_vec() };
        for (height, picture_width) in sizes {
            let (far, most) = far_in(Precision::Bf16, isa, &network, &pictures(1, height, picture_width)[3]);
            assert!(far > 0.0 && far <= 0.01 * most, "{width} {height}x{picture_width}: {far} of {most}");
        }
    }
}

/// That a precision is near f32, as near as that share of the largest value, and is taken where it helps: unasked where the network's file says `lost` that it is as good.
fn check_precision(
    (precision, near): (Precision, f32),
    helps: impl Fn(&Network, Isa) -> bool,
    lost: impl Fn(&mut Network, Option<f32>),
    networks: impl Iterator<Item = Network>,
) {
    for mut network in networks {
        let picture = &pictures(network.channels, 33, 25)[3];
        let info = |format| VideoInfo::new(format, 25, 33, Colour::default()).unwrap();
        for isa in Isa::all_and_amx() {
            let helps = helps(&network, isa);
            let (far, most) = far_in(precision, isa, &network, picture);
            let cpu = Cpu::with_isa(isa, 1).unwrap();
            let taken = cpu.precision(&network, precision, &info(PixelFormat::Rgb)).unwrap();
            assert_eq!(taken == precision, helps, "{} {}", network.name, isa.name());
            for (loss, format, good) in [
                (None, PixelFormat::Rgb, false),
                (Some(0.05), PixelFormat::Rgb, true),
                (Some(0.051), PixelFormat::Rgb, false),
                (Some(0.0), PixelFormat::I420_10Le, false),
            ] {
                lost(&mut network, loss);
                let taken = cpu.precision(&network, Precision::Auto, &info(format)).unwrap();
                assert_eq!(taken == precision, helps && good, "{} {} {loss:?}", network.name, isa.name());
            }
            assert_eq!(far > 0.0, helps, "{} {}", network.name, isa.name());
            assert!(far <= near * most, "{} {}: {far} of {most}", network.name, isa.name());
        }
    }
}

/// Whether 1x1 convolutions may be rounded.
fn rounds(network: &Network) -> bool {
    network.luma().is_none() && !hashes(network)
}

#[test]
fn bf16_is_near_f32_and_is_taken_where_it_helps() {
    let helps = |network: &Network, isa: Isa| rounds(network) && isa.bf16() || network.luma().is_some() && isa.tiles();
    let networks = small_presets().into_iter().map(|preset| Network::random(preset, 2, 7));
    check_precision((Precision::Bf16, 0.02), helps, |network, loss| network.bfloat_loss = loss, networks);
}

#[test]
fn bytes_are_near_f32_and_are_taken_where_they_help() {
    let helps = |network: &Network, isa: Isa| rounds(network) && isa.bytes();
    let networks = small_presets().into_iter().map(|preset| Network::random(preset, 2, 7));
    let networks = networks.filter(|network| network.luma().is_none());
    check_precision((Precision::Int8, 0.05), helps, |network, loss| network.integer_loss = loss, networks);
}

#[test]
fn of_what_is_as_good_bytes_go_before_bf16_but_not_before_its_tiles() {
    let rounded = |network: &Network| rounds(network);
    let networks = small_presets().into_iter().map(|preset| Network::random(preset, 2, 7)).filter(rounded);
    for mut network in networks {
        (network.bfloat_loss, network.integer_loss) = (Some(0.0), Some(0.0));
        let info = VideoInfo::new(PixelFormat::Rgb, 25, 33, Colour::default()).unwrap();
        for isa in Isa::all_and_amx() {
            let taken = Cpu::with_isa(isa, 1).unwrap().precision(&network, Precision::Auto, &info).unwrap();
            let best = match (isa.tiles(), isa.bytes()) {
                (true, _) => Precision::Bf16,
                (false, true) => Precision::Int8,
                (false, false) => Precision::F32,
            };
            assert_eq!(taken, best, "{} {}", network.name, isa.name());
        }
    }
}

#[test]
fn integers_are_near_floats() {
    let mut network = calibrated(&Luma { width: 16, depth: 3, head_skip: true }, 2);
    // Nothing is cut off.
    network.activations.iter_mut().flatten().for_each(|v| *v *= 1.5);
    let picture = &pictures(1, 40, 40)[2];
    let (truth, made) =
        (reference::run(&network, picture), reference::Reference.run(&network, Precision::Int8, picture).unwrap());
    let worst = truth.data.iter().zip(&made.data).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst > 0.0 && worst < 0.01, "{worst}");
}

#[test]
fn int8_is_for_luma_networks_whose_layers_are_known() {
    let cpu = Cpu::new(1).unwrap();
    let networks = small_presets().into_iter().map(|preset| Network::random(preset, 2, 1));
    for network in networks.filter(|network| network.luma().is_some()) {
        let text = cpu.run(&network, Precision::Int8, &Tensor::zeros(1, 4, 4)).unwrap_err().to_string();
        assert!(text.contains("calibrate.py"), "{text}");
    }
}

#[test]
fn what_is_not_a_number_in_a_luma_network_stays_none() {
    let mut network = Network::random(Preset::Luma(Luma { width: 16, depth: 2, head_skip: true }), 2, 5);
    let input = Tensor::from_vec(1, 9, 9, vec![0.5; 81]);
    let is_none = |made: Tensor| made.data.iter().all(|v| !v.is_finite());
    // Infinite weights in bf16; and finite ones, by which the head's result is infinite and the next layer's no number.
    for largest in [f32::MAX, 3e38] {
        let convs = network.steps.iter_mut().filter_map(|step| match &mut step.block {
            Block::Conv(conv) => Some(conv),
            _ => None,
        });
        for conv in convs {
            let sign = |i: usize| if largest < f32::MAX && i / 9 % conv.cin % 2 == 1 { -1.0 } else { 1.0 };
            conv.weight.iter_mut().enumerate().for_each(|(i, w)| *w = sign(i) * largest);
        }
        assert!(is_none(reference::run(&network, &input)), "{largest}");
        for isa in Isa::all_and_amx() {
            for precision in [Precision::F32, Precision::Bf16] {
                let made = Cpu::with_isa(isa, 1).unwrap().run(&network, precision, &input).unwrap();
                assert!(is_none(made), "{} {} {largest}", isa.name(), precision.name());
            }
        }
    }
}

#[test]
fn lanes_share_what_is_prepared_for_as_long_as_one_has_it() {
    let cpu = Cpu::new(1).unwrap();
    for preset in small_presets() {
        let network = Arc::new(Network::random(preset, 2, 9));
        let users = |ready: &Ready| match ready {
            Ready::Rows(network) => Arc::strong_count(network),
            Ready::Program(prepared) => Arc::strong_count(prepared),
        };
        let frames = Frames::of(&network, &Tensor::zeros(network.channels, 8, 8));
        let first = cpu.engines(&frames, vec![Some(cpu.ready(&network, (8, 8), Numbers::Floats))]).unwrap();
        assert_eq!(users(&cpu.ready(&network, (8, 8), Numbers::Floats)), 2, "{}", network.name);
        assert_eq!(users(&cpu.ready(&network, (8, 9), Numbers::Floats)), 1, "another size");
        drop(first);
        assert_eq!(users(&cpu.ready(&network, (8, 8), Numbers::Floats)), 1, "nobody had it any more");
    }
}

#[test]
fn networks_that_take_turns_in_one_room_give_the_same_as_fresh() {
    let cpu = Cpu::new(2).unwrap();
    let networks: Vec<_> = small_presets().into_iter().map(|preset| Network::random(preset, 2, 9)).collect();
    let ready = networks.iter().map(|network| Some(cpu.prepare(network, (21, 30), Numbers::Floats)));
    let frames = Frames { model: "several", height: 21, width: 30, beside: 0 };
    let mut engines = cpu.engines(&frames, ready.collect()).unwrap();
    for turn in 0..4 {
        for (rung, network) in networks.iter().enumerate() {
            let picture = &pictures(network.channels, 21, 30)[turn];
            let mut output = Tensor::zeros(network.channels, 42, 60);
            engines.run(rung, picture, &mut output).unwrap();
            let fresh = cpu.run(network, Precision::Auto, picture).unwrap();
            assert!(output == fresh, "{} in turn {turn}", network.name);
        }
    }
}

#[test]
fn depthwise_of_any_kernel_and_dilation() {
    use super::kernels::depthwise::{Then, depthwise};
    use super::line::{Line, TapRoom};
    for (kernel_h, kernel_w, dilation) in [(1, 1, 1), (3, 3, 1), (1, 9, 3), (7, 1, 2), (5, 5, 1)] {
        let weight = noise(2 * kernel_h * kernel_w, 1);
        let p = DepthwiseConv { channels: 2, kernel_h, kernel_w, dilation, weight, bias: noise(2, 2) };
        let x = pictures(2, 20, 45).swap_remove(3);
        let truth = reference::depthwise(&p, &x);
        let line = Line::new(x.width, 12);
        let mut rows = vec![vec![0.0; 2 * line.stride]; x.height];
        for (y, row) in rows.iter_mut().enumerate() {
            for c in 0..2 {
                line.pixels_mut(row, c).copy_from_slice(&x.plane(c)[y * x.width..][..x.width]);
            }
        }
        let zeros = vec![0.0; line.stride];
        for isa in Isa::all() {
            let mut room = TapRoom::default();
            let mut out = vec![0.0; 2 * line.stride];
            for y in 0..x.height {
                let mut table = room.start(2 * kernel_h, line, &zeros);
                for tap in 0..kernel_h {
                    let above = kernel_h / 2 * dilation;
                    if let Some(row) = (y + tap * dilation).checked_sub(above).and_then(|y| rows.get(y)) {
                        table.row(tap, kernel_h, row);
                    }
                }
                depthwise(isa, table.finish(), &p, Then::Nothing, &mut out);
                for c in 0..2 {
                    for (found, expected) in line.pixels(&out, c).iter().zip(&truth.plane(c)[y * x.width..]) {
                        assert!((found - expected).abs() < 1e-5, "{} {kernel_h}x{kernel_w}", isa.name());
                    }
                }
            }
        }
    }
}

#[test]
fn f16_is_refused_and_so_is_a_frame_beyond_memory() {
    let network = Network::random(Preset::Luma(Luma { width: 4, depth: 1, head_skip: false }), 2, 1);
    let cpu = Cpu::new(1).unwrap();
    let text = cpu.run(&network, Precision::F16, &Tensor::zeros(1, 4, 4)).unwrap_err().to_string();
    assert!(text.contains("f32"), "{text}");
    let (_, preset) = Preset::named(2).into_iter().find(|(n, _)| *n == "dlsn-light").unwrap();
    let network = Network::random(preset, 2, 1);
    let (height, width) = (16_384, 1 << 20);
    let ready = cpu.prepare(&network, (height, width), Numbers::Floats);
    let frames = Frames { model: &network.name, height, width, beside: 0 };
    let text = match cpu.engines(&frames, vec![Some(ready)]) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("no machine has terabytes"),
    };
    assert!(text.contains("dlsn-light") && text.contains("MiB"), "{text}");
}

/// Its weights are few, but every layer widens the strips of all.
#[test]
fn a_luma_network_of_too_many_layers_is_refused() {
    let network = Network::random(Preset::Luma(Luma { width: 1, depth: 4096, head_skip: false }), 2, 1);
    // As many threads as no machine has 100 GB for each of.
    let cpu = Cpu::new(256).unwrap();
    let text = match cpu.run(&network, Precision::F32, &Tensor::zeros(1, 4, 4)) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("no machine has terabytes"),
    };
    assert!(text.contains("not enough memory") && text.contains("4x4"), "{text}");
}
