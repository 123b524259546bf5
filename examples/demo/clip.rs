//! What a clip is, and its frames, by way of FFmpeg's command-line tools.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;
use srup_engine::frame::{Colour, Frame, Matrix, PixelFormat, Range, VideoInfo};
use srup_examples::Failure;

/// The first video stream of a file that is no cover art.
#[derive(Clone, Debug)]
pub struct Clip {
    /// The file.
    pub path: PathBuf,
    /// Pixels a row, as stored.
    pub width: usize,
    /// Rows, as stored.
    pub height: usize,
    /// Number of frames.
    pub frames: usize,
    /// Meaning of its codes, as 8-bit limited-range YUV.
    pub colour: Colour,
    /// Whether its frames are made of fields.
    pub interlaced: bool,
}

#[derive(Debug, Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    width: usize,
    height: usize,
    color_space: Option<String>,
    field_order: Option<String>,
    nb_read_packets: Option<String>,
}

impl Clip {
    /// Asks ffprobe; reads the whole file to count its frames, decodes none.
    ///
    /// # Errors
    /// One line: no such file, no video in it, no ffprobe.
    pub fn probe(path: &Path) -> Result<Self, Failure> {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "V:0", "-count_packets", "-of", "json", "-show_entries"])
            .args(["stream=width,height,color_space,field_order,nb_read_packets", "-i", &url(path)])
            .output()
            .map_err(|e| missing("ffprobe", &e))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.lines().last().unwrap_or("ffprobe failed");
            return Err(Failure::new(reason.trim_start_matches("file:")));
        }
        let probe: Probe =
            serde_json::from_slice(&output.stdout).map_err(|e| Failure::new(format_args!("ffprobe: {e}")))?;
        let stream = probe
            .streams
            .first()
            .ok_or_else(|| Failure::new(format_args!("{} has no video stream", path.display())))?;
        let frames = stream.nb_read_packets.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0);
        if frames == 0 || stream.width == 0 || stream.height == 0 {
            return Err(Failure::new(format_args!("{} has no video frame that can be read", path.display())));
        }
        let matrix = match stream.color_space.as_deref() {
            Some("bt709") => Matrix::Bt709,
            Some("bt2020nc" | "bt2020c") => Matrix::Bt2020,
            _ => Matrix::Bt601,
        };
        let colour = Colour { matrix, range: Range::Limited, ..Colour::default() };
        let interlaced = matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt"));
        Ok(Self { path: path.to_owned(), width: stream.width, height: stream.height, frames, colour, interlaced })
    }
}

/// Frames out of an `ffmpeg` process, in order, as stored: not turned upright, none repeated or dropped for a rate. Of an
/// interlaced clip they are deinterlaced, as `transcode` does it.
#[derive(Debug)]
pub struct Frames {
    child: Child,
    pixels: ChildStdout,
    info: VideoInfo,
}

impl Frames {
    /// Starts decoding; `filter` must make frames of the size of `info`, whose format is I420 or RGB.
    ///
    /// # Errors
    /// One line: no ffmpeg.
    pub fn open(clip: &Clip, filter: &str, info: VideoInfo) -> Result<Self, Failure> {
        let format = if info.format == PixelFormat::Rgb { "rgb24" } else { "yuv420p" };
        let deinterlace = if clip.interlaced { "bwdif=mode=send_frame:deint=interlaced," } else { "" };
        let mut child = Command::new("ffmpeg")
            .args(["-v", "quiet", "-nostdin", "-noautorotate", "-i", &url(&clip.path), "-map", "0:V:0"])
            .args(["-fps_mode", "passthrough", "-vf", &format!("{deinterlace}{filter}")])
            .args(["-pix_fmt", format, "-f", "rawvideo", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| missing("ffmpeg", &e))?;
        let pixels = child.stdout.take().ok_or_else(|| Failure::new("ffmpeg has no output"))?;
        Ok(Self { child, pixels, info })
    }

    /// Description of the frames.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Reads the next frame into one made with [`Frame::new`] for this description; false after the last one.
    pub fn read(&mut self, frame: &mut Frame) -> bool {
        (0..self.info.format.planes()).all(|plane| self.pixels.read_exact(frame.plane_mut(plane).0).is_ok())
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // It may be in the midst of writing frames that nobody wants any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file name that FFmpeg takes for a file whatever is in it.
fn url(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// What to say of a program that could not be started.
pub fn missing(program: &str, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("{program} cannot be started ({error}): 'make demo' installs what is needed"))
}
