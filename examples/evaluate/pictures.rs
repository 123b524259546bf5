//! Models on a folder of pictures.
//!
//! Every picture is cut to a multiple of the scale, reduced by antialiased bicubic (Pillow's kernel), enlarged again by each
//! model, and compared with what it was: PSNR and SSIM of BT.601 limited-range luma, without `scale` pixels at each side.
//! Networks for luma get the rounded luma codes of the reduced picture; networks for RGB, bicubic and Lanczos get its RGB,
//! and luma is taken of the RGB that comes out.

use std::path::Path;

use srup_examples::metrics::{self, SSIM_WINDOW, mean, median};
use srup_examples::picture::{Picture, pictures_in};
use srup_examples::{Failure, tell};

use crate::args::Arguments;
use crate::degrade::Reduced;
use crate::method::Method;
use crate::progress;
use crate::report::{Figures, Measured, Row};

/// Figures of one picture with one method.
#[derive(Clone, Copy, Debug)]
struct Score {
    /// Y-PSNR in dB.
    psnr: f64,
    ssim: f64,
    ms_per_mp: f64,
}

/// Measures the methods, the first of which is Lanczos, on the pictures of a folder.
///
/// # Errors
/// One line: what is wrong with a picture, or the engine's or the codec's.
pub fn measure(arguments: &Arguments, folder: &Path, methods: &[Method]) -> Result<Measured, Failure> {
    let paths = pictures_in(folder)?;
    let bar = progress::bar((paths.len() * methods.len()) as u64)?;
    let mut running: Vec<(&Method, Vec<Score>)> = methods.iter().map(|method| (method, Vec::new())).collect();
    for path in &paths {
        let original = opened(path, arguments.scale.into())?;
        let reduced = original.reduced(arguments.scale.into());
        let reduced = match arguments.degrade {
            Some(degradation) => Reduced::degraded(&reduced, degradation)?,
            None => Reduced::clean(reduced),
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let border = usize::from(arguments.scale);
        let truth = original.luma().without_border(border);
        let mut kept = Vec::with_capacity(running.len());
        for (method, mut scores) in running {
            bar.set_message(format!("{file}, {}", method.name));
            match method.run(&reduced) {
                Ok(outcome) => {
                    let luma = outcome.luma.without_border(border);
                    let (psnr, ssim) = (metrics::psnr(&truth, &luma), metrics::ssim(&truth, &luma));
                    scores.push(Score { psnr, ssim, ms_per_mp: outcome.ms_per_mp });
                    kept.push((method, scores));
                }
                // A picture may need more memory than there is; a mean without it would compare with no other.
                Err(failure) if method.optional => {
                    bar.suspend(|| tell(format_args!("note: {file}: {failure}; that model is left out")));
                }
                Err(failure) => return Err(failure),
            }
            bar.inc(1);
        }
        running = kept;
    }
    bar.finish_and_clear();
    let lanczos = &running[0].1;
    let row =
        |(method, own): &(&Method, Vec<Score>)| Row::new(method, &method.engine, arguments, figures(own, lanczos));
    let rows = running.iter().map(row).collect();
    let pictures = if paths.len() == 1 { "picture" } else { "pictures" };
    let what = format!("{} {pictures} of {}", paths.len(), folder.display());
    Ok(Measured { what, rows, advice: None, real_time: None })
}

/// A picture, cut to a multiple of the scale.
fn opened(path: &Path, scale: usize) -> Result<Picture, Failure> {
    let picture = Picture::open(path)?.multiple_of(scale);
    let least = SSIM_WINDOW + 2 * scale;
    if picture.width < least || picture.height < least {
        let path = path.display();
        return Err(Failure::new(format_args!("{path}: at scale {scale} each side must have {least} pixels or more")));
    }
    Ok(picture)
}

/// Sums up the scores of a method; `lanczos` has those of Lanczos, picture by picture.
fn figures(scores: &[Score], lanczos: &[Score]) -> Figures {
    let worse = scores.iter().zip(lanczos).filter(|(own, other)| own.psnr < other.psnr).count();
    Figures {
        psnr: mean(scores.iter().map(|s| s.psnr)),
        ssim: mean(scores.iter().map(|s| s.ssim)),
        ms_per_mp: median(&scores.iter().map(|s| s.ms_per_mp).collect::<Vec<_>>()),
        worse_than_lanczos: worse as f64 / scores.len() as f64,
        vmaf: None,
        fps: None,
    }
}
