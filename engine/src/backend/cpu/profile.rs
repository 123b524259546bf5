//! Where the time of a network goes, operation by operation.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::dispatch::{Isa, kernel};
use super::engine::{Engine, Prepared, Room};
use super::lower::{FrameKernel, Kernel, Op, Program, RowKernel, Then};
use super::{Cpu, Frames, Numbers, Ready};
use crate::Error;
use crate::backend::Precision;
use crate::frame::convert::PlaneRows;
use crate::network::Network;
use crate::tensor::Tensor;

/// Operations of one kind and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Kind and shape.
    pub name: String,
    /// Operations of a frame.
    pub count: usize,
    /// Multiply-adds of a frame, as the plain formula has them; 0 where an operation is none of multiply-adds.
    pub macs: f64,
    /// Seconds of a frame, those of all threads together.
    pub seconds: f64,
}

/// A network's costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// From the dearest on.
    pub costs: Vec<Cost>,
    /// Seconds from a frame's beginning to its end.
    pub seconds: f64,
    /// Multiply-adds a second of one thread that does nothing else, in f32.
    pub peak: f64,
}

/// Time that each operation of a program takes, added up by all threads.
#[derive(Debug)]
pub struct Times(Vec<AtomicU64>);

impl Times {
    fn new(program: &Program) -> Self {
        Self(program.ops.iter().map(|_| AtomicU64::new(0)).collect())
    }

    /// Runs an operation on one of `threads` threads that are busy with it.
    pub fn add<T>(times: Option<&Self>, op: usize, threads: usize, work: impl FnOnce() -> T) -> T {
        let Some(times) = times else { return work() };
        let start = Instant::now();
        let done = work();
        let nanoseconds = start.elapsed().as_nanos() as u64 * threads as u64;
        times.0[op].fetch_add(nanoseconds, Ordering::Relaxed);
        done
    }

    fn seconds(&self, op: usize) -> f64 {
        Duration::from_nanos(self.0[op].load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl Cpu {
    /// Runs a network on an input, once to warm up and then `frames` times, and says where the time goes.
    ///
    /// # Errors
    /// As for [`Backend::run`](crate::backend::Backend::run).
    pub fn profile(
        &self,
        network: &Network,
        precision: Precision,
        input: &Tensor,
        frames: usize,
    ) -> Result<Profile, Error> {
        let numbers = self.numbers(network, precision, false)?;
        let ready = self.prepare(network, (input.height, input.width), numbers);
        self.check(&Frames::of(network, input), &[Some(ready.clone())])?;
        let (mut costs, seconds) = match ready {
            Ready::Program(prepared) => self.program(&prepared, input, frames),
            Ready::Rows(rows) => {
                let mut output = Tensor::zeros(1, network.scale * input.height, network.scale * input.width);
                let mut run = rows.start(self.pool.clone());
                run(input, &PlaneRows::new(&mut output));
                let seconds = each(frames, || run(input, &PlaneRows::new(&mut output)));
                let threads = self.pool.current_num_threads() as f64;
                let name = match numbers {
                    Numbers::Floats => "all layers",
                    Numbers::Bfloats => "all layers in bf16",
                    Numbers::Integers => "all layers in integers",
                };
                let macs = network.multiply_adds(input.height, input.width);
                (vec![Cost { name: name.into(), count: 1, macs, seconds: seconds * threads }], seconds)
            }
        };
        costs.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(Profile { costs, seconds, peak: peak(self.isa) })
    }

    fn program(&self, prepared: &Arc<Prepared>, input: &Tensor, frames: usize) -> (Vec<Cost>, f64) {
        let mut room = Room::new(self.pool.clone(), &[prepared]);
        let mut output = Tensor::default();
        Engine::new(prepared.clone()).run(&mut room, input, &mut output);
        let program = prepared.program();
        let mut engine = Engine::timed(prepared.clone(), Times::new(program));
        let seconds = each(frames, || engine.run(&mut room, input, &mut output));
        let mut costs: HashMap<String, Cost> = HashMap::new();
        for (i, op) in program.ops.iter().enumerate() {
            let name = name(op);
            let cost = costs.entry(name.clone()).or_insert(Cost { name, count: 0, macs: 0.0, seconds: 0.0 });
            cost.count += 1;
            cost.macs += macs(program, op) as f64;
            cost.seconds += engine.times().map_or(0.0, |times| times.seconds(i)) / frames.max(1) as f64;
        }
        (costs.into_values().collect(), seconds)
    }
}

/// Seconds of each of some frames.
fn each(frames: usize, mut frame: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..frames {
        frame();
    }
    start.elapsed().as_secs_f64() / frames.max(1) as f64
}

fn name(op: &Op) -> String {
    let fused = |fused: bool| if fused { ", with a sum or product" } else { "" };
    match &op.kernel {
        Kernel::Row(kernel) => match kernel {
            RowKernel::Import => "import".into(),
            RowKernel::Conv(p, _, then) => {
                let (k, cin) = (p.kernel, p.lines / p.kernel);
                format!("conv {k}x{k}, {cin} to {}{}", p.cout, fused(then.is_some()))
            }
            RowKernel::Bfloat(p, _, then) => {
                format!("conv 1x1 in bf16, {} to {}{}", p.cin, p.cout, fused(then.is_some()))
            }
            RowKernel::Bytes(p, _, then) => {
                format!("conv 1x1 in bytes, {} to {}{}", p.cin, p.cout, fused(then.is_some()))
            }
            RowKernel::Vertical(p, _, then) => {
                format!("conv 3x3 by Winograd, {} to {}{}", p.cin(), p.cout, fused(then.is_some()))
            }
            RowKernel::Depthwise(p, then) => {
                let then = match then {
                    Then::Nothing => "",
                    Then::Add => ", with a sum",
                    Then::Star => ", with a gate and a sum",
                    Then::Gate => ", GELU and product of halves",
                };
                format!("depth-wise {}x{} by {}, {}{then}", p.kernel_h, p.kernel_w, p.dilation, p.channels)
            }
            RowKernel::DynamicFilter(p) => {
                format!("dynamic filter {0}x{0}, {1}", p.window, p.groups * p.group_channels)
            }
            RowKernel::LayerNorm(p) => format!("layer norm, {}", p.weight.len()),
            RowKernel::Elementwise(_) => "element by element".into(),
            RowKernel::PixelShuffle(factor) => format!("pixel shuffle by {factor}"),
            RowKernel::Nearest(factor) => format!("nearest by {factor}"),
            RowKernel::ToTokens => "to tokens".into(),
            RowKernel::Correlate(_) => "attention's scalar products".into(),
            RowKernel::Windows(..) => "attention's values, folded to a 1x1 conv".into(),
            RowKernel::Combine(_) => "rounds together".into(),
        },
        Kernel::Frame(FrameKernel::Fit) => "fit".into(),
        Kernel::Frame(FrameKernel::Matrices(_)) => "attention's matrices".into(),
        Kernel::Frame(FrameKernel::Attention(_)) => "attention in buckets".into(),
    }
}

/// Multiply-adds of an operation on rows.
fn macs(program: &Program, op: &Op) -> usize {
    let Kernel::Row(kernel) = &op.kernel else { return 0 };
    let pixel = match kernel {
        RowKernel::Conv(p, ..) => p.lines * p.kernel * p.cout,
        RowKernel::Bfloat(p, ..) => p.cin * p.cout,
        RowKernel::Bytes(p, ..) => p.cin * p.cout,
        RowKernel::Vertical(p, ..) => 9 * p.cin() * p.cout,
        RowKernel::Depthwise(p, _) => p.kernel_h * p.kernel_w * p.channels,
        RowKernel::DynamicFilter(p) => p.multiply_adds(),
        _ => 0,
    };
    op.output.map_or(0, |value| pixel * program.values[value].height * program.values[value].width)
}

/// Multiply-adds a second on registers alone, the most of some trials.
fn peak(isa: Isa) -> f64 {
    const TURNS: usize = 20_000;
    let trial = |_| {
        let start = Instant::now();
        black_box(multiply_adds(isa, black_box(TURNS)));
        (TURNS * CHAINS * isa.lanes()) as f64 / start.elapsed().as_secs_f64()
    };
    (0..20).map(trial).fold(0.0, f64::max)
}

/// Sums that do not wait for each other.
const CHAINS: usize = 12;

kernel! {
    fn multiply_adds<S>(s, turns: usize) -> f32 {
        let mut sums = [s.splat(1.0); CHAINS];
        let (a, b) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        let mut all = s.splat(0.0);
        for sum in sums {
            all = s.add(all, sum);
        }
        s.sum(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Preset;

    fn profile(name: &str, precision: Precision) -> Profile {
        let preset = Preset::named(2).into_iter().find(|(n, _)| *n == name).expect("a preset has that name").1;
        let network = Network::random(preset, 2, 1);
        let input = Tensor::zeros(network.channels, 24, 40);
        Cpu::new(2).unwrap().profile(&network, precision, &input, 2).unwrap()
    }

    #[test]
    fn multiply_adds_are_those_of_the_network() {
        // As counted in `benches/networks`; what is not counted here is norms and the folded attention.
        for (name, macs) in [("luma-s", 7_632.0), ("luma-m", 47_520.0), ("sdan-small", 80_560.0), ("sdan", 267_000.0)] {
            let found = profile(name, Precision::F32).costs.iter().map(|cost| cost.macs).sum::<f64>() / (24.0 * 40.0);
            assert!((found / macs - 1.0).abs() < 0.02, "{name}: {found} a pixel, not {macs}");
        }
    }

    #[test]
    fn costs_add_up_to_the_time_of_the_frame() {
        for name in ["sdan-small", "dlgsanet-tiny", "dlsn-light"] {
            let Profile { costs, seconds, peak } = profile(name, Precision::F32);
            let all = costs.iter().map(|cost| cost.seconds).sum::<f64>();
            assert!(all > 0.2 * seconds && all < 2.5 * seconds, "{name}: {all} of {seconds}");
            assert!(costs.is_sorted_by(|a, b| a.seconds >= b.seconds));
            assert!(peak > 1e8, "{peak}");
        }
    }
}
