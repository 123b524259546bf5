//! What the two addresses on the command line mean.

use std::fs;
use std::path::{Path, PathBuf};

use gst::glib;
use srup_examples::{Failure, are_one};

use crate::container::Container;
use crate::feed::Bears;

/// Where pictures and sound come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A moving pattern with a tick every second, made here.
    Test(Pattern),
    /// A camera of Video4Linux: the device's file.
    Camera(String),
    /// Whatever GStreamer has an element for.
    Uri(String, Manner),
}

/// Size and rate of the test pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Pixels a row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Frames a second.
    pub rate: i32,
}

/// How a source behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A file: it ends, it waits, nothing of it is left out.
    File,
    /// HTTP, a file or a broadcast: its end is the end, a failure is not.
    Http,
    /// A server that is asked: it may go and come back.
    Asked,
    /// A sender that comes to us: there is nothing to see until it does.
    Awaited,
}

impl Input {
    /// Reads an address.
    ///
    /// # Errors
    /// A file that is not there, or an address of an unknown form.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(pattern) = text.strip_prefix("test").and_then(Pattern::parse) {
            return Ok(Self::Test(pattern));
        }
        match text.split_once("://") {
            _ if text == "camera" => Ok(Self::Camera("/dev/video0".into())),
            _ if text.starts_with("/dev/video") => Ok(Self::Camera(text.into())),
            Some(("v4l2", device)) => Ok(Self::Camera(device.into())),
            Some((scheme, rest)) => Ok(Self::uri(scheme, rest)),
            None => file(Path::new(text)),
        }
    }

    fn uri(scheme: &str, rest: &str) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        // The description of RTP streams is no file to be played.
        let described = scheme == "file" && rest.to_ascii_lowercase().ends_with(".sdp");
        let scheme = if described { "sdp" } else { &scheme };
        Self::Uri(format!("{scheme}://{rest}"), Manner::of(scheme, rest))
    }

    /// The file that it reads, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Uri(uri, Manner::File) => glib::filename_from_uri(uri).ok().map(|(path, _)| path),
            _ => None,
        }
    }

    /// How it behaves.
    pub fn manner(&self) -> Manner {
        match self {
            Self::Test(_) | Self::Camera(_) => Manner::Asked,
            Self::Uri(_, manner) => *manner,
        }
    }
}

impl Pattern {
    /// The rest of `test`, `test:WIDTHxHEIGHT` or `test:WIDTHxHEIGHT@RATE`.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self { width: 640, height: 360, rate: 30 });
        }
        let (size, rate) = text.strip_prefix(':')?.split_once('@').unwrap_or((&text[1..], "30"));
        let (width, height) = size.split_once('x')?;
        let number = |text: &str, most| text.parse().ok().filter(|number| (1..=most).contains(number));
        Some(Self { width: number(width, 8192)?, height: number(height, 8192)?, rate: number(rate, 240)? })
    }
}

impl Manner {
    fn of(scheme: &str, rest: &str) -> Self {
        match scheme {
            "file" => Self::File,
            "http" | "https" => Self::Http,
            "udp" | "rtp" | "sdp" => Self::Awaited,
            "srt" if rest.starts_with(':') || rest.contains("mode=listener") => Self::Awaited,
            _ => Self::Asked,
        }
    }
}

fn file(path: &Path) -> Result<Input, Failure> {
    let full = path.canonicalize().map_err(|error| {
        let text = format!(
            "cannot read {}: {error}; INPUT is a file, an address like srt://host:port, camera or test",
            path.display()
        );
        Failure::new(text)
    })?;
    if full.is_dir() {
        return Err(Failure::new(format!("{} is a folder; name a file in it", path.display())));
    }
    let uri =
        glib::filename_to_uri(&full, None).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(Input::uri("file", uri.trim_start_matches("file://")))
}

/// Where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// MPEG-TS over SRT.
    Srt(String),
    /// MPEG-TS in UDP packets: host and port.
    Udp(String, i32),
    /// FLV to an RTMP server.
    Rtmp(String),
    /// A folder with a playlist and segments.
    Hls(PathBuf),
    /// A file.
    File(PathBuf, Container),
    /// Screen and loudspeakers.
    Display,
}

impl Output {
    /// Reads an address. An existing folder, or a name that ends in a slash, is a folder for HLS. `input` is the file that is
    /// read meanwhile.
    ///
    /// # Errors
    /// A form that is not known, a file that exists (unless `replace`), a folder that cannot be made, or what would destroy
    /// the input.
    pub fn parse(text: &str, input: Option<&Path>, replace: bool) -> Result<Self, Failure> {
        match text.split_once("://") {
            _ if text == "display" => screen(),
            Some(("srt", _)) => Ok(Self::Srt(text.into())),
            Some(("rtmp" | "rtmps", _)) => Ok(Self::Rtmp(text.into())),
            Some(("udp", rest)) => udp(rest),
            Some(("file", path)) => path_of(Path::new(path), input, replace),
            Some((scheme, _)) => Err(Failure::new(format!(
                "cannot send to {scheme}://; OUTPUT is srt://, rtmp://, udp://, a folder for HLS, a file or display"
            ))),
            None if text.ends_with('/') => folder(Path::new(text), input),
            None => path_of(Path::new(text), input, replace),
        }
    }

    /// What it takes in mid-stream. Matroska, MP4 and HLS are written by elements that wait while one stream has a gap.
    pub fn bears(&self) -> Bears {
        let gaps = match self {
            Self::Srt(_) | Self::Udp(..) | Self::Rtmp(_) | Self::Display => true,
            Self::File(_, container) => matches!(container, Container::Ts | Container::Flv),
            Self::Hls(_) => false,
        };
        Bears { gaps, changed_sound: self.container().is_none_or(Container::bears_changed_sound) }
    }

    /// The container that carries the streams; None for the display.
    pub fn container(&self) -> Option<Container> {
        match self {
            Self::Srt(_) | Self::Udp(..) | Self::Hls(_) => Some(Container::Ts),
            Self::Rtmp(_) => Some(Container::Flv),
            Self::File(_, container) => Some(*container),
            Self::Display => None,
        }
    }
}

/// Looked for here: where there is none, a sink for old frame buffers that GStreamer tries in the end may crash.
fn screen() -> Result<Output, Failure> {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if desktop || Path::new("/dev/dri/card0").exists() {
        return Ok(Output::Display);
    }
    Err(Failure::new(
        "there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set; log in to a desktop, or take another OUTPUT",
    ))
}

fn udp(rest: &str) -> Result<Output, Failure> {
    let parsed = rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parsed {
        Some((host, port)) if !host.is_empty() && port > 0 => {
            Ok(Output::Udp(host.trim_matches(['[', ']']).into(), port.into()))
        }
        _ => Err(Failure::new("write a UDP output as udp://host:port")),
    }
}

fn path_of(path: &Path, input: Option<&Path>, replace: bool) -> Result<Output, Failure> {
    if path.is_dir() {
        return folder(path, input);
    }
    let container = Container::of(path)?;
    if input.is_some_and(|input| are_one(path, input)) {
        return Err(Failure::new(format!("{} is both input and output; write to another name", path.display())));
    }
    if path.exists() && !replace {
        return Err(Failure::new(format!("{} exists; give -y to replace it", path.display())));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Failure::new(format!("there is no folder {}; make it first", parent.display())));
    }
    Ok(Output::File(path.into(), container))
}

/// HLS replaces and deletes segments there, which a playlist that is read may name.
fn folder(path: &Path, input: Option<&Path>) -> Result<Output, Failure> {
    let written = |file: &Path| file.extension().is_some_and(|ending| ending == "ts" || ending == "m3u8");
    if let Some(input) = input.filter(|input| written(input))
        && input.parent().is_some_and(|parent| are_one(path, parent))
    {
        let (path, input) = (path.display(), input.display());
        return Err(Failure::new(format!("HLS into {path} would replace what {input} needs; name another folder")));
    }
    fs::create_dir_all(path)
        .map_err(|error| Failure::new(format!("cannot make the folder {}: {error}; name another", path.display())))?;
    Ok(Output::Hls(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let pattern = |width, height, rate| Input::Test(Pattern { width, height, rate });
        assert_eq!(Input::parse("test").unwrap(), pattern(640, 360, 30));
        assert_eq!(Input::parse("test:160x90").unwrap(), pattern(160, 90, 30));
        assert_eq!(Input::parse("test:160x90@25").unwrap(), pattern(160, 90, 25));
        assert_eq!(Input::parse("camera").unwrap(), Input::Camera("/dev/video0".into()));
        assert_eq!(Input::parse("v4l2:///dev/video2").unwrap(), Input::Camera("/dev/video2".into()));
        for (text, manner) in [
            ("rtsp://host/path", Manner::Asked),
            ("srt://host:7001", Manner::Asked),
            ("srt://:7001", Manner::Awaited),
            ("srt://0.0.0.0:7001?mode=listener", Manner::Awaited),
            ("udp://0.0.0.0:5000", Manner::Awaited),
            ("https://host/live.m3u8", Manner::Http),
            ("file:///clip.mkv", Manner::File),
            ("sdp:///stream.sdp", Manner::Awaited),
        ] {
            assert_eq!(Input::parse(text).unwrap(), Input::Uri(text.into(), manner), "{text}");
        }
        let described = Input::Uri("sdp:///a/stream.SDP".into(), Manner::Awaited);
        assert_eq!(Input::parse("FILE:///a/stream.SDP").unwrap(), described);
    }

    #[test]
    fn what_is_neither_file_nor_address_says_what_an_input_is() {
        for text in ["no-such-file.mp4", "test:axb", "test:0x0"] {
            let error = Input::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("INPUT is"), "{error}");
        }
    }

    #[test]
    fn outputs_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let parse = |path: &Path| Output::parse(path.to_str().unwrap(), None, false);
        assert_eq!(Output::parse("udp://[::1]:5000", None, false).unwrap(), Output::Udp("::1".into(), 5000));
        assert_eq!(parse(folder.path()).unwrap(), Output::Hls(folder.path().into()));
        assert_eq!(parse(&at("new/")).unwrap(), Output::Hls(at("new/")));
        assert!(at("new").is_dir());
        assert_eq!(parse(&at("a.mkv")).unwrap(), Output::File(at("a.mkv"), Container::Matroska));
        fs::write(at("b.ts"), "x").unwrap();
        assert!(parse(&at("b.ts")).unwrap_err().to_string().contains("-y"));
        assert!(Output::parse(at("b.ts").to_str().unwrap(), None, true).is_ok());
        for bad in ["ftp://host/x", "udp://host", "x.avi", "no/such/folder/x.ts"] {
            assert!(Output::parse(bad, None, false).is_err(), "{bad}");
        }
    }
    #[test]
    fn what_is_read_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a b.ts", "live.m3u8", "a.mkv"] {
            fs::write(at(name), "x").unwrap();
        }
        fs::hard_link(at("a b.ts"), at("same.ts")).unwrap();
        std::os::unix::fs::symlink(at("a b.ts"), at("link.ts")).unwrap();
        let parse = |input: &str, output: &Path, replace| {
            let input = Input::parse(at(input).to_str().unwrap()).unwrap();
            Output::parse(output.to_str().unwrap(), input.file().as_deref(), replace)
        };
        for (name, replace) in [("a b.ts", false), ("a b.ts", true), ("same.ts", true), ("link.ts", true)] {
            let error = parse("a b.ts", &at(name), replace).unwrap_err().to_string();
            assert!(error.contains("both input and output"), "{name}: {error}");
        }
        for input in ["live.m3u8", "a b.ts"] {
            let error = parse(input, folder.path(), true).unwrap_err().to_string();
            assert!(error.contains("another folder"), "{input}: {error}");
        }
        assert!(parse("a.mkv", folder.path(), false).is_ok() && parse("a.mkv", &at("a b.ts"), true).is_ok());
        assert!(parse("live.m3u8", &at("new/"), false).is_ok());
    }
}
