//! Models on a video: its frames are the truth, and what they are reduced to is enlarged.

mod advice;
mod frames;
mod pairs;
mod reduce;
mod vmaf;
mod way;

use std::path::Path;

use srup_examples::{Failure, tell};

use crate::args::Arguments;
use crate::method::{BASELINES, Method};
use crate::progress;
use crate::report::Measured;
use pairs::Pairs;
use vmaf::Vmaf;
use way::Way;

/// Measures the methods, the first of which is Lanczos, on the frames of a clip.
///
/// # Errors
/// One line: what is wrong with the file, the engine's, the codec's or VMAF's.
pub fn measure(arguments: &Arguments, path: &Path, methods: &[Method]) -> Result<Measured, Failure> {
    let mut pairs = Pairs::open(arguments, path)?;
    let vmaf = Vmaf::find(arguments.ffmpeg.as_deref())?;
    if vmaf.is_none() {
        tell(
            "note: VMAF is left out, for no ffmpeg on the path has libvmaf: `make vmaf` fetches one, --ffmpeg names one",
        );
    }
    let mut ways = Vec::with_capacity(methods.len());
    for method in methods {
        // A frame of the clip may need more memory than there is, which was not asked before.
        match method.builder.build(pairs.input()) {
            Ok(upscaler) => ways.push(Way::new(method, upscaler, arguments.scale.into(), vmaf.as_ref())?),
            Err(error) if method.optional => {
                tell(format_args!("note: {} is left out: {error}", method.name));
            }
            Err(error) => return Err(Failure::new(format_args!("{}: {error}", method.name))),
        }
    }
    let bar = progress::bar(pairs.expected())?;
    bar.set_message("frames");
    while let Some(pair) = pairs.next()? {
        ways.iter_mut().try_for_each(|way| way.time(&pair.input))?;
        way::add(&mut ways, &pair)?;
        bar.inc(1);
    }
    let count = bar.position();
    bar.finish_and_clear();
    let (rate, pixels) = (pairs.rate(), pairs.truth().width * pairs.truth().height);
    let rows = way::rows(ways, arguments)?;
    Ok(Measured {
        what: in_words(count, path, &pairs),
        advice: Some(advice::advice(&rows[0], &rows[BASELINES.len()..], rate)),
        real_time: rate.map(|rate| 1e9 / (rate * pixels as f64)),
        rows,
    })
}

fn in_words(count: u64, path: &Path, pairs: &Pairs) -> String {
    let (frames, path) = (if count == 1 { "frame" } else { "frames" }, path.display());
    let rate = pairs.rate().map_or(String::new(), |rate| format!(" at {} fps", hundredths(rate)));
    let (truth, input) = (pairs.truth(), pairs.input());
    let sizes = [truth, input].map(|info| format!("{}x{}", info.width, info.height));
    format!("{count} {frames} of {path}, {}{rate}, reduced to {}", sizes[0], sizes[1])
}

/// 23.98 of 24000/1001, and 24 of 24.
fn hundredths(rate: f64) -> f64 {
    (100.0 * rate).round() / 100.0
}
