//! Pictures side by side, the same part of each, with their names.

use font8x8::UnicodeFonts;
use indicatif::ProgressBar;
use srup_engine::frame::{Frame, PixelFormat, VideoInfo};
use srup_engine::{Builder, Upscaler};
use srup_examples::Failure;
use srup_examples::metrics::Luma;
use srup_examples::picture::Picture;

use crate::SCALE;
use crate::clip::{Clip, Frames};

/// The part that is shown, in pixels of the input.
const PART: (usize, usize) = (160, 120);
/// Each pixel is shown this large, so that differences can be seen.
const ZOOM: usize = 2;
const GAP: usize = 4;
const LABEL_HEIGHT: usize = 24;

/// The frame in the middle of the clip, in RGB.
///
/// # Errors
/// One line: the frame cannot be decoded.
pub fn middle_frame(clip: &Clip) -> Result<Picture, Failure> {
    let info = VideoInfo::new(PixelFormat::Rgb, clip.width, clip.height, clip.colour)?;
    let mut frame = Frame::new(&info);
    // A damaged clip may hold fewer frames than its index says: then the first must do.
    for number in [clip.frames / 2, 0] {
        if Frames::open(clip, &format!("select=eq(n\\,{number})"), info)?.read(&mut frame) {
            return Ok(Picture { width: info.width, height: info.height, rgb: frame.plane(0).0.to_vec() });
        }
    }
    Err(Failure::new(format_args!("ffmpeg can decode no frame of {}", clip.path.display())))
}

/// The input enlarged by each of the models, and a picture of that size as it is, the same part of each.
///
/// # Errors
/// The engine's error.
pub fn side_by_side(
    input: &Picture,
    ways: &[(&str, &Builder)],
    other: Option<(&str, &Picture)>,
    bar: &ProgressBar,
) -> Result<Picture, Failure> {
    let (x, y) = busiest_part(&input.luma(), PART);
    let cut = |picture: &Picture| picture.crop(SCALE * x, SCALE * y, SCALE * PART.0, SCALE * PART.1).repeated(ZOOM);
    let mut panels = Vec::new();
    for &(label, builder) in ways {
        panels.push((label, cut(&enlarge(input, builder)?)));
        bar.inc(1);
    }
    panels.extend(other.map(|(label, picture)| (label, cut(picture))));
    Ok(strip(&panels))
}

fn enlarge(input: &Picture, builder: &Builder) -> Result<Picture, Failure> {
    let info = VideoInfo::new(PixelFormat::Rgb, input.width, input.height, Default::default())?;
    let mut upscaler: Upscaler = builder.build(&info)?;
    let mut frame = Frame::new(&info);
    frame.plane_mut(0).0.copy_from_slice(&input.rgb);
    let mut output = Frame::new(upscaler.output_info());
    upscaler.process(&frame.view(), &mut output.view_mut())?;
    let VideoInfo { width, height, .. } = *output.info();
    Ok(Picture { width, height, rgb: output.plane(0).0.to_vec() })
}

/// Top left pixel of the part with the most detail: the largest sum of differences between neighbours.
fn busiest_part(luma: &Luma, part: (usize, usize)) -> (usize, usize) {
    const STEP: usize = 16;
    let (width, height) = (part.0.min(luma.width), part.1.min(luma.height));
    let at = |x: usize, y: usize| luma.data[y * luma.width + x];
    let detail = |x: usize, y: usize| {
        let rows = (y + 1..y + height).step_by(2);
        let row = |r: usize| {
            (x + 1..x + width)
                .map(move |c| (at(c, r) - at(c - 1, r)).abs() + (at(c, r) - at(c, r - 1)).abs())
                .sum::<f64>()
        };
        rows.map(row).sum::<f64>()
    };
    let columns = || (0..=luma.width - width).step_by(STEP);
    (0..=luma.height - height)
        .step_by(STEP)
        .flat_map(|y| columns().map(move |x| (x, y)))
        .map(|(x, y)| (detail(x, y), (x, y)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or((0, 0), |(_, corner)| corner)
}

/// The panels in a row, each with its label above it.
fn strip(panels: &[(&str, Picture)]) -> Picture {
    let width = panels.iter().map(|(_, panel)| panel.width + GAP).sum::<usize>().saturating_sub(GAP);
    let height = panels.iter().map(|(_, panel)| panel.height).max().unwrap_or(0);
    let mut picture = Picture::new(width, LABEL_HEIGHT + height);
    let mut x = 0;
    for (label, panel) in panels {
        picture.paste(&text(label, panel.width), x, 0);
        picture.paste(panel, x, LABEL_HEIGHT);
        x += panel.width + GAP;
    }
    picture
}

/// White letters of 16 pixels on black, cut off at `width`.
fn text(label: &str, width: usize) -> Picture {
    let mut line = Picture::new((8 * label.chars().count()).max(1), 8);
    for (i, letter) in label.chars().enumerate() {
        let rows = font8x8::BASIC_FONTS.get(letter).unwrap_or([0; 8]);
        for (y, bits) in rows.into_iter().enumerate() {
            for x in (0..8).filter(|x| bits >> x & 1 == 1) {
                line.rgb[3 * (y * line.width + 8 * i + x)..][..3].fill(255);
            }
        }
    }
    let mut out = Picture::new(width, LABEL_HEIGHT);
    out.paste(&line.repeated(2), 4, 4);
    out
}
