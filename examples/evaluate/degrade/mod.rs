//! What happens to pictures before anybody enlarges them: blur, noise, compression. Networks that were trained on clean
//! pictures alone may make these worse.

mod compress;
mod spoil;
mod still;

use std::fmt;
use std::str::FromStr;

use ffmpeg_next::Rational;
use srup_engine::frame::{Frame, VideoInfo};
use srup_examples::Failure;

use compress::Compressor;
pub use still::Reduced;

/// What is done, in this order; written as `blur=0.8,noise=3,crf=28,codec=h264`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Degradation {
    /// Sigma of a Gaussian, in pixels of luma; 0 for none.
    pub blur: f32,
    /// Sigma of Gaussian noise, in 8-bit codes; 0 for none.
    pub noise: f32,
    /// How it is compressed, if it is.
    pub compression: Option<Compression>,
}

/// How pictures are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// By x264, at that CRF.
    H264(u8),
    /// By x265, at that CRF.
    Hevc(u8),
    /// As JPEG, at that quantiser of FFmpeg's.
    Jpeg(u8),
}

const ALLOWED: &str = "write crf=0..51 (with codec=h264 or codec=hevc), or codec=jpeg,q=2..31; blur=0.1..5 and noise=0.1..50 \
                       may stand with it or alone; commas between, as in crf=28,noise=3";

impl FromStr for Degradation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("{what}; {ALLOWED}");
        let (mut codec, mut crf, mut q, mut blur, mut noise) = (None, None, None, None, None);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(|| wrong(format!("'{part}' is no key=value")))?;
            let twice = match key {
                "codec" => codec.replace(value).is_some(),
                "crf" => crf.replace(number(part, value, 0..=51).map_err(wrong)?).is_some(),
                "q" => q.replace(number(part, value, 2..=31).map_err(wrong)?).is_some(),
                "blur" => blur.replace(number(part, value, 0.1..=5.0).map_err(wrong)?).is_some(),
                "noise" => noise.replace(number(part, value, 0.1..=50.0).map_err(wrong)?).is_some(),
                _ => return Err(wrong(format!("'{key}' is unknown"))),
            };
            if twice {
                return Err(wrong(format!("'{key}' is there twice")));
            }
        }
        let compression = match (codec, crf, q) {
            (None, None, None) => None,
            (None | Some("h264"), Some(crf), None) => Some(Compression::H264(crf)),
            (Some("hevc"), Some(crf), None) => Some(Compression::Hevc(crf)),
            (Some("jpeg"), None, Some(q)) => Some(Compression::Jpeg(q)),
            _ => return Err(wrong(format!("'{text}' does not go together"))),
        };
        Ok(Self { blur: blur.unwrap_or(0.0), noise: noise.unwrap_or(0.0), compression })
    }
}

/// The value of `part`, within a range.
fn number<T: FromStr + PartialOrd>(part: &str, value: &str, range: std::ops::RangeInclusive<T>) -> Result<T, String> {
    let number = value.parse().ok().filter(|value| range.contains(value));
    number.ok_or_else(|| format!("'{part}' is out of range"))
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sigma = |name: &str, sigma: f32| (sigma > 0.0).then(|| format!("{name}={sigma}"));
        let compression = self.compression.map(|compression| match compression {
            Compression::H264(crf) => format!("crf={crf},codec=h264"),
            Compression::Hevc(crf) => format!("crf={crf},codec=hevc"),
            Compression::Jpeg(q) => format!("q={q},codec=jpeg"),
        });
        let parts: Vec<String> =
            [sigma("blur", self.blur), sigma("noise", self.noise), compression].into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

/// Frames a second where nobody knows: encoders count quality in time, too.
pub const ASSUMED_RATE: Rational = Rational(25, 1);

/// A degradation at work on the frames of one stream: planar 4:2:0, with even sides.
pub struct Degrader {
    degradation: Degradation,
    compressor: Option<Compressor>,
    frames: u64,
}

impl Degrader {
    /// For frames like `info`, so many a second.
    ///
    /// # Errors
    /// One line: the encoder is not there, or refuses such frames.
    pub fn new(degradation: Degradation, info: &VideoInfo, rate: Rational) -> Result<Self, Failure> {
        let compressor = degradation.compression.map(|how| Compressor::open(how, info, rate)).transpose()?;
        Ok(Self { degradation, compressor, frames: 0 })
    }

    /// Takes a frame, and gives those that are done, in order; a codec holds some back.
    ///
    /// # Errors
    /// The codec's.
    pub fn push(&mut self, mut frame: Frame) -> Result<Vec<Frame>, Failure> {
        spoil::spoil(&mut frame, &self.degradation, self.frames);
        self.frames += 1;
        match &mut self.compressor {
            Some(compressor) => compressor.run(Some(&frame)),
            None => Ok(vec![frame]),
        }
    }

    /// The frames that were held back.
    ///
    /// # Errors
    /// The codec's.
    pub fn finish(&mut self) -> Result<Vec<Frame>, Failure> {
        self.compressor.as_mut().map_or(Ok(Vec::new()), |compressor| compressor.run(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for (text, expected) in [
            ("crf=28", "crf=28,codec=h264"),
            ("codec=hevc,crf=51", "crf=51,codec=hevc"),
            ("q=2,codec=jpeg,blur=0.5", "blur=0.5,q=2,codec=jpeg"),
            ("noise=3,blur=1.25", "blur=1.25,noise=3"),
        ] {
            let degradation: Degradation = text.parse().unwrap();
            assert_eq!(degradation.to_string(), expected);
            assert_eq!(expected.parse(), Ok(degradation));
        }
    }

    #[test]
    fn nonsense_is_answered_by_one_line_that_says_what_is_allowed() {
        let texts = "|crf|crf=|crf=52|crf=-1|crf=2.5|q=5|q=1,codec=jpeg|codec=hevc|codec=av1,crf=20|codec=jpeg,crf=20|crf=20,q=5\
                     |crf=20,crf=21|blur=0|blur=nan|noise=51|noise=3,|quality=4| crf=28";
        for text in texts.split('|') {
            let error = text.parse::<Degradation>().expect_err(text);
            assert!(error.contains("crf=0..51") && !error.contains('\n'), "{text}: {error}");
        }
    }
}
