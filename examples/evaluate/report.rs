//! What is said about each model, on the terminal and in JSON.

use serde::Serialize;
use srup_engine::Precision;
use srup_examples::metrics::{mean, median};

use crate::method::Method;

/// Figures of one picture with one model.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// Y-PSNR in dB.
    pub psnr: f64,
    /// SSIM of luma, 1 at most.
    pub ssim: f64,
    /// Milliseconds for a million output pixels.
    pub ms_per_mp: f64,
}

/// All figures of one model over a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the model.
    pub model: String,
    /// Output size over input size.
    pub scale: usize,
    /// What was asked for: `auto`, `f32`, `f16`, `bf16` or `int8`.
    pub precision: &'static str,
    /// What was taken: model, numbers, scale, backend.
    pub engine: String,
    /// Mean Y-PSNR in dB.
    pub psnr: f64,
    /// Mean SSIM.
    pub ssim: f64,
    /// Median of the milliseconds for a million output pixels.
    pub ms_per_mp: f64,
    /// Number of trained parameters.
    pub parameters: usize,
    /// Share of the pictures, 0 to 1, whose Y-PSNR is below that of Lanczos.
    pub worse_than_lanczos: f64,
}

/// The document that `--json` writes.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// A row for each model.
    pub results: &'a [Row],
}

impl Row {
    /// Sums up the scores of a model; `lanczos` has those of Lanczos, picture by picture.
    pub fn new(method: &Method, scale: usize, precision: Precision, scores: &[Score], lanczos: &[Score]) -> Self {
        let worse = scores.iter().zip(lanczos).filter(|(own, other)| own.psnr < other.psnr).count();
        Self {
            model: method.name.clone(),
            scale,
            precision: precision.name(),
            engine: method.engine.clone(),
            psnr: mean(scores.iter().map(|s| s.psnr)),
            ssim: mean(scores.iter().map(|s| s.ssim)),
            ms_per_mp: median(&scores.iter().map(|s| s.ms_per_mp).collect::<Vec<_>>()),
            parameters: method.parameters,
            worse_than_lanczos: worse as f64 / scores.len() as f64,
        }
    }
}

/// The rows as a table with aligned columns.
pub fn table(rows: &[Row]) -> String {
    let name = rows.iter().map(|row| row.model.len()).max().unwrap_or(0).max("model".len());
    let mut text = format!(
        "{:name$}  {:>5}  {:>8}  {:>6}  {:>10}  {:>10}  {:>14}  engine\n",
        "model", "scale", "PSNR dB", "SSIM", "ms/MP out", "parameters", "below Lanczos"
    );
    for row in rows {
        text += &format!(
            "{:name$}  {:>5}  {:>8.2}  {:>6.4}  {:>10.2}  {:>10}  {:>12.0} %  {}\n",
            row.model,
            format!("x{}", row.scale),
            row.psnr,
            row.ssim,
            row.ms_per_mp,
            row.parameters,
            100.0 * row.worse_than_lanczos,
            row.engine
        );
    }
    text
}
