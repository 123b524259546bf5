//! VMAF, by an FFmpeg that has libvmaf.
//!
//! Both pictures go through one pipe, the truth above the other, and are parted again there: nothing is written to disk, and
//! no two pipes can wait for each other.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use srup_engine::frame::{Frame, VideoInfo};
use srup_examples::Failure;
use srup_examples::video::formats;

/// An FFmpeg that has libvmaf.
#[derive(Clone, Debug)]
pub struct Vmaf {
    program: PathBuf,
}

impl Vmaf {
    /// The program that was named, else the one on the path if it will do; None without any.
    ///
    /// # Errors
    /// One line: the program that was named will not do.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(program) = named else {
            let program = PathBuf::from("ffmpeg");
            return Ok(has_libvmaf(&program).is_ok_and(|has| has).then_some(Self { program }));
        };
        let (shown, advice) = (program.display(), "`make vmaf` fetches one that will do");
        match has_libvmaf(program) {
            Ok(true) => Ok(Some(Self { program: program.to_owned() })),
            Ok(false) => Err(Failure::new(format!("{shown} has no filter libvmaf; {advice}"))),
            Err(error) => Err(Failure::new(format!("{shown} cannot be started: {error}; {advice}"))),
        }
    }

    /// Starts a comparison of frames like `info`.
    ///
    /// # Errors
    /// One line: the program cannot be started.
    pub fn start(&self, info: &VideoInfo) -> Result<Comparison, Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let filter = format!(
            "split[a][b];[a]crop=iw:ih/2:0:0[truth];[b]crop=iw:ih/2:0:ih/2[own];[own][truth]libvmaf=n_threads={threads}"
        );
        let child = Command::new(&self.program)
            .args(["-hide_banner", "-nostats", "-v", "info", "-f", "rawvideo"])
            .args(["-pix_fmt", formats::name(formats::pixel(info.format))])
            .args(["-s", &format!("{}x{}", info.width, 2 * info.height), "-i", "pipe:0"])
            .args(["-lavfi", &filter, "-f", "null", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("{} cannot be started: {error}", self.program.display())))?;
        Ok(Comparison { child, stopped: false })
    }
}

fn has_libvmaf(program: &Path) -> std::io::Result<bool> {
    let output = Command::new(program).args(["-hide_banner", "-filters"]).stdin(Stdio::null()).output()?;
    let lists = |line: &str| line.split_whitespace().nth(1) == Some("libvmaf");
    Ok(String::from_utf8_lossy(&output.stdout).lines().any(lists))
}

/// A clip on its way.
pub struct Comparison {
    child: Child,
    /// It takes no more frames; why, it tells at the end.
    stopped: bool,
}

impl Comparison {
    /// Takes the next frame of each; waits while those before it are compared.
    pub fn add(&mut self, truth: &Frame, own: &Frame) {
        let Some(pipe) = self.child.stdin.as_mut().filter(|_| !self.stopped) else { return };
        let mut write = || {
            for plane in 0..truth.info().format.planes() {
                pipe.write_all(truth.plane(plane).0)?;
                pipe.write_all(own.plane(plane).0)?;
            }
            std::io::Result::Ok(())
        };
        self.stopped = write().is_err();
    }

    /// The mean over all frames.
    ///
    /// # Errors
    /// One line: what FFmpeg says.
    pub fn finish(mut self) -> Result<f64, Failure> {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().map_err(Failure::new)?;
        let said = String::from_utf8_lossy(&output.stderr);
        score(&said).filter(|_| output.status.success() && !self.stopped).ok_or_else(|| {
            let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it says nothing");
            Failure::new(format!("VMAF cannot be measured: {last}"))
        })
    }
}

/// The figure in `[Parsed_libvmaf_3 @ 0x7f7a18004400] VMAF score: 86.586265`.
fn score(said: &str) -> Option<f64> {
    said.lines().rev().find_map(|line| line.split_once("VMAF score: ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_found_in_what_ffmpeg_says() {
        let said =
            "Input #0\n[Parsed_libvmaf_3 @ 0x7f7a18004400] VMAF score: 86.586265\n[out#0/null @ 0x1] video:9KiB\n";
        assert_eq!(score(said), Some(86.586265));
        assert_eq!(score("VMAF score: none\n"), None);
    }
}
