//! One method on the frames of a clip.

use std::thread;

use srup_engine::Upscaler;
use srup_engine::frame::Frame;
use srup_examples::Failure;
use srup_examples::metrics::{self, Luma};

use super::pairs::Pair;
use super::vmaf::{Comparison, Vmaf};
use crate::args::Arguments;
use crate::method::{self, Method};
use crate::report::{Figures, Row};

/// A method at work, and what has been measured of it.
pub struct Way<'a> {
    method: &'a Method,
    scale: usize,
    upscaler: Upscaler,
    output: Frame,
    ms: Option<f64>,
    errors: Vec<f64>,
    similarities: Vec<f64>,
    vmaf: Option<Comparison>,
}

impl<'a> Way<'a> {
    /// For frames that the upscaler, which is the method's, was built for.
    ///
    /// # Errors
    /// VMAF cannot be started.
    pub fn new(method: &'a Method, upscaler: Upscaler, scale: usize, vmaf: Option<&Vmaf>) -> Result<Self, Failure> {
        let output = Frame::new(upscaler.output_info());
        let vmaf = vmaf.map(|vmaf| vmaf.start(output.info())).transpose()?;
        let (errors, similarities) = Default::default();
        Ok(Self { method, scale, upscaler, output, ms: None, errors, similarities, vmaf })
    }

    /// Takes the time on the first frame, while nothing else runs; what a frame shows makes no difference to it.
    ///
    /// # Errors
    /// The engine's.
    pub fn time(&mut self, input: &Frame) -> Result<(), Failure> {
        if self.ms.is_none() {
            let ms = method::time(&mut self.upscaler, input, &mut self.output).map_err(|error| self.failed(&error))?;
            self.ms = Some(ms);
        }
        Ok(())
    }

    /// Enlarges a frame and compares it with what it was; `luma` is that of the truth without its border.
    fn add(&mut self, pair: &Pair, luma: &Luma) -> Result<(), Failure> {
        let done = self.upscaler.process(&pair.input.view(), &mut self.output.view_mut());
        done.map_err(|error| self.failed(&error))?;
        let own = Luma::of_frame(&self.output).without_border(self.scale);
        self.errors.push(metrics::squared_error(luma, &own));
        self.similarities.push(metrics::ssim(luma, &own));
        if let Some(vmaf) = &mut self.vmaf {
            vmaf.add(&pair.truth, &self.output);
        }
        Ok(())
    }

    fn failed(&self, error: &srup_engine::Error) -> Failure {
        Failure::new(format_args!("{}: {error}", self.method.name))
    }
}

/// Has every way enlarge a frame and compare it, each on a thread of its own.
///
/// # Errors
/// The engine's.
pub fn add(ways: &mut [Way<'_>], pair: &Pair) -> Result<(), Failure> {
    let Some(scale) = ways.first().map(|way| way.scale) else { return Ok(()) };
    let luma = &Luma::of_frame(&pair.truth).without_border(scale);
    thread::scope(|scope| {
        let running: Vec<_> = ways.iter_mut().map(|way| scope.spawn(move || way.add(pair, luma))).collect();
        running.into_iter().try_for_each(|way| {
            way.join().unwrap_or_else(|_| Err(Failure::new("a thread broke down; this is a bug: please report it")))
        })
    })
}

/// The figures of all ways; those of Lanczos are the first.
///
/// # Errors
/// VMAF's.
pub fn rows(ways: Vec<Way<'_>>, arguments: &Arguments) -> Result<Vec<Row>, Failure> {
    let lanczos = ways.first().map(|way| way.errors.clone()).unwrap_or_default();
    let row = |way: Way<'_>| {
        let ms = way.ms.unwrap_or(f64::NAN);
        let info = way.output.info();
        let worse = way.errors.iter().zip(&lanczos).filter(|(own, other)| own > other).count();
        let figures = Figures {
            // Of the mean error: a black frame, which everybody gets right, would make a mean of decibels infinite.
            psnr: metrics::decibels(metrics::mean(way.errors.iter().copied())),
            ssim: metrics::mean(way.similarities),
            ms_per_mp: ms * 1e6 / (info.width * info.height) as f64,
            worse_than_lanczos: worse as f64 / way.errors.len() as f64,
            vmaf: way.vmaf.map(Comparison::finish).transpose()?,
            fps: Some(1e3 / ms),
        };
        Ok(Row::new(way.method, way.upscaler.describe(), arguments, figures))
    };
    ways.into_iter().map(row).collect()
}
