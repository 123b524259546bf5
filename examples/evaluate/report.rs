//! What is said about each model, on the terminal and in JSON.

use serde::Serialize;

use crate::args::Arguments;
use crate::method::Method;

/// What was measured, and what follows from it.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The material, in words.
    #[serde(rename = "measured")]
    pub what: String,
    /// A row for each method: first Lanczos and bicubic.
    #[serde(rename = "results")]
    pub rows: Vec<Row>,
    /// Which network is worth its time; of clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Milliseconds for a million output pixels that leave a clip its frame rate, where it is known.
    #[serde(skip)]
    pub real_time: Option<f64>,
}

/// What was measured of one method.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Y-PSNR in dB.
    pub psnr: f64,
    /// Mean SSIM of luma, 1 at most.
    pub ssim: f64,
    /// Milliseconds for a million output pixels.
    pub ms_per_mp: f64,
    /// Share of the pictures, 0 to 1, whose Y-PSNR is below that of Lanczos.
    pub worse_than_lanczos: f64,
    /// Mean VMAF, of clips.
    pub vmaf: Option<f64>,
    /// Frames a second, one after another, of clips.
    pub fps: Option<f64>,
}

/// All figures of one model over a folder or a clip.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Name of the model.
    pub model: String,
    /// Output size over input size.
    pub scale: u8,
    /// What was asked for: `auto`, `f32`, `f16`, `bf16` or `int8`.
    pub precision: &'static str,
    /// What was taken: model, numbers, scale, backend.
    pub engine: String,
    /// Y-PSNR in dB: the mean over pictures, or of the mean error over frames.
    pub psnr: f64,
    /// Mean SSIM.
    pub ssim: f64,
    /// Median of the milliseconds for a million output pixels.
    pub ms_per_mp: f64,
    /// Number of trained parameters.
    pub parameters: usize,
    /// Share of the pictures, 0 to 1, whose Y-PSNR is below that of Lanczos.
    pub worse_than_lanczos: f64,
    /// Mean VMAF, of clips where it could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmaf: Option<f64>,
    /// Frames a second, one after another, of clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// What the reduced pictures went through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degrade: Option<String>,
}

impl Row {
    /// The figures of a method, on an engine that was described so.
    pub fn new(method: &Method, engine: &str, arguments: &Arguments, figures: Figures) -> Self {
        let Figures { psnr, ssim, ms_per_mp, worse_than_lanczos, vmaf, fps } = figures;
        Self {
            model: method.name.clone(),
            scale: arguments.scale,
            precision: arguments.precision.name(),
            engine: engine.to_owned(),
            psnr,
            ssim,
            ms_per_mp,
            parameters: method.parameters,
            worse_than_lanczos,
            vmaf,
            fps,
            degrade: arguments.degrade.map(|degradation| degradation.to_string()),
        }
    }
}

/// The rows as a table with aligned columns.
pub fn table(rows: &[Row]) -> String {
    let name = rows.iter().map(|row| row.model.len()).max().unwrap_or(0).max("model".len());
    let (vmaf, fps) = (rows.iter().any(|row| row.vmaf.is_some()), rows.iter().any(|row| row.fps.is_some()));
    // A column that no row has anything for is left out.
    let optional =
        |shown: bool, width: usize, text: String| if shown { format!("  {text:>width$}") } else { String::new() };
    let mut text = format!(
        "{:name$}  {:>5}  {:>8}  {:>6}{}{}  {:>9}  {:>10}  {:>13}  engine\n",
        "model",
        "scale",
        "PSNR dB",
        "SSIM",
        optional(vmaf, 6, "VMAF".into()),
        optional(fps, 7, "fps".into()),
        "ms/MP out",
        "parameters",
        "below Lanczos"
    );
    for row in rows {
        text += &format!(
            "{:name$}  {:>5}  {:>8.2}  {:>6.4}{}{}  {:>9.2}  {:>10}  {:>11.0} %  {}\n",
            row.model,
            format!("x{}", row.scale),
            row.psnr,
            row.ssim,
            optional(vmaf, 6, row.vmaf.map_or("".into(), |vmaf| format!("{vmaf:.2}"))),
            optional(fps, 7, row.fps.map_or("".into(), |fps| format!("{fps:.1}"))),
            row.ms_per_mp,
            row.parameters,
            100.0 * row.worse_than_lanczos,
            row.engine
        );
    }
    text
}
