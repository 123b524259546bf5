//! The program under test as a process that is watched, senders that are killed, and what has come out.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use srup_tests::{example, ffmpeg_tool};

/// Longer than anything here takes: what is not done by then hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Frames a second of the clips, and the seconds of one.
pub const RATE: u32 = 25;
pub const FRAME: f64 = 1.0 / RATE as f64;

/// A folder for a test; None, said aloud, where FFmpeg or one of these elements is missing.
pub fn workshop(elements: &[&str]) -> Option<tempfile::TempDir> {
    ffmpeg_tool("ffmpeg")?;
    ffmpeg_tool("ffprobe")?;
    if Command::new("gst-launch-1.0").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: no gst-launch-1.0 on the path; install the package gstreamer1.0-tools");
        return None;
    }
    gst::init().expect("GStreamer starts");
    let needed = ["x264enc", "avdec_h264", "uridecodebin", "h264parse", "mpegtsmux"];
    for name in needed.iter().chain(elements) {
        if gst::ElementFactory::find(name).is_none() {
            eprintln!("skipped: GStreamer has no {name}; install its good, bad, ugly and libav plugins");
            return None;
        }
    }
    Some(tempfile::tempdir().expect("a temporary folder"))
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Runs ffmpeg in `folder` with arguments divided by spaces.
#[track_caller]
pub fn ffmpeg(folder: &Path, arguments: &str) {
    let mut command = ffmpeg_tool("ffmpeg").expect("asked for before");
    let output = command.args(["-nostdin", "-y"]).args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A black clip of 160x90 pixels: 0.48 s after each full one, two frames are white and for just as long it beeps.
/// A frame that can be begun with comes twice a second, as it must where receivers tune in at any time.
pub fn make_clip(folder: &Path, name: &str, seconds: u32) -> PathBuf {
    let white = "lt(mod(t+0.52\\,1)\\,0.079)";
    ffmpeg(
        folder,
        &format!(
            "-f lavfi -i color=black:s=160x90:r={RATE}:d={seconds} \
             -f lavfi -i aevalsrc=if(lt(mod(t+0.52\\,1)\\,0.08)\\,sin(2*PI*1000*t)\\,0):s=48000:d={seconds} \
             -vf drawbox=c=white:t=fill:enable='{white}' -c:v libx264 -preset veryfast -g 12 -bf 2 -c:a aac -b:a 64k {name}"
        ),
    );
    folder.join(name)
}

/// A process that is killed when it is dropped.
pub struct Killed(Child);

impl Killed {
    /// Without a chance to say goodbye.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Fails only where the process has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end();
    }
}

/// FFmpeg that sends a clip as fast as it plays, with arguments divided by spaces behind the input.
pub fn send(clip: &Path, arguments: &str) -> Killed {
    let mut command = ffmpeg_tool("ffmpeg").expect("asked for before");
    let folder = clip.parent().expect("a folder");
    command.args(["-nostdin", "-re", "-i"]).arg(clip).args(arguments.split_whitespace()).current_dir(folder);
    Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ffmpeg runs"))
}

/// GStreamer that sends a Matroska clip by RTP, with reports that tell how picture and sound belong together, one port
/// above.
pub fn send_rtp(clip: &Path, [video, audio]: [u16; 2]) -> Killed {
    let stream = |index: u32, name: &str, payload: &str, port: u16| {
        let report = port + 1;
        format!(
            "d.{name} ! queue ! {payload} ! r.send_rtp_sink_{index} \
             r.send_rtp_src_{index} ! udpsink host=127.0.0.1 port={port} async=false \
             r.send_rtcp_src_{index} ! udpsink host=127.0.0.1 port={report} sync=false async=false"
        )
    };
    let pipeline = format!(
        "rtpbin name=r filesrc location={} ! matroskademux name=d {} {}",
        clip.display(),
        stream(0, "video_0", "h264parse ! rtph264pay pt=96 config-interval=-1", video),
        stream(1, "audio_0", "aacparse ! rtpmp4gpay pt=97", audio)
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(command.spawn().expect("gst-launch-1.0 runs"))
}

/// The program, running.
pub struct Live {
    child: Killed,
    lines: Arc<Mutex<Vec<Value>>>,
    texts: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: Option<i32>,
    /// Its status, line by line.
    pub lines: Vec<Value>,
    /// What it said on stderr.
    pub stderr: String,
}

impl Run {
    /// The last status line.
    #[track_caller]
    pub fn last(&self) -> &Value {
        self.lines.last().expect("a line of JSON")
    }
}

impl Live {
    /// Starts it in `folder` with arguments divided by spaces, plain resampling and the fastest encoding.
    pub fn start(folder: &Path, arguments: &str) -> Self {
        let mut command = Command::new(example("live"));
        command.args(arguments.split_whitespace()).arg("--json");
        for [option, value] in [["--preset", "ultrafast"], ["--model", "bicubic"]] {
            if !arguments.contains(option) {
                command.args([option, value]);
            }
        }
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let (lines, texts) = (Arc::default(), Arc::default());
        let readers = vec![
            read_lines(child.stdout.take().expect("piped"), &lines),
            read_text(child.stderr.take().expect("piped"), &texts),
        ];
        Self { child: Killed(child), lines, texts, readers }
    }

    /// Waits for a status line that `wanted` accepts, and returns it.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(LIMIT, what, wanted)
    }

    #[track_caller]
    fn wait_within(&mut self, limit: Duration, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.lines.lock().unwrap().iter().rev().find(|line| wanted(line)) {
                return line.clone();
            }
            let ended = self.child.0.try_wait().expect("its state");
            if ended.is_some() || begun.elapsed() > limit {
                let last = self.lines.lock().unwrap().last().cloned();
                panic!("no {what}: {ended:?}, {last:?}, {}", self.texts.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has said something on stderr, and returns all that it has said.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.texts.lock().unwrap().clone();
            if said.contains(text) {
                return said;
            }
            assert!(begun.elapsed() < LIMIT, "it never said {text:?}: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `count` frames have come out.
    #[track_caller]
    pub fn wait_for_frames(&mut self, count: u64) -> Value {
        let limit = LIMIT + Duration::from_secs(count / u64::from(RATE));
        self.wait_within(limit, &format!("{count} frames"), |line| line["frames"].as_u64() >= Some(count))
    }

    /// Asks it to stop, as Ctrl-C does, which shells have what runs in the background ignore; waits for the end.
    #[track_caller]
    pub fn interrupt(self) -> Run {
        let status = Command::new("kill").args(["-TERM", &self.child.0.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill sends a signal");
        self.finish()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Run {
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = self.child.0.try_wait().expect("its state") {
                break status.code();
            }
            assert!(begun.elapsed() < LIMIT, "it does not end: {}", self.texts.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
        let (lines, texts) = (self.lines.lock().unwrap(), self.texts.lock().unwrap());
        Run { code, lines: lines.clone(), stderr: texts.clone() }
    }
}

fn read_lines(stdout: ChildStdout, lines: &Arc<Mutex<Vec<Value>>>) -> JoinHandle<()> {
    let lines = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            lines.lock().unwrap().push(value);
        }
    })
}

fn read_text(mut stderr: ChildStderr, texts: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let texts = texts.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut bytes) {
            texts.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
}

/// What ffprobe says of a file.
#[track_caller]
pub fn probe(path: &Path, arguments: &str) -> Value {
    let mut command = ffmpeg_tool("ffprobe").expect("asked for before");
    let output =
        command.args(["-of", "json"]).args(arguments.split_whitespace()).arg(path).output().expect("ffprobe runs");
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON")
}

/// Width and height of every frame that can be decoded.
#[track_caller]
pub fn frame_sizes(path: &Path) -> Vec<(u64, u64)> {
    let value = probe(path, "-select_streams v:0 -show_entries frame=width,height");
    let frames = value["frames"].as_array().expect("frames").iter();
    frames.filter_map(|frame| Some((frame["width"].as_u64()?, frame["height"].as_u64()?))).collect()
}

/// The checksums of the packets of a file's sound.
#[track_caller]
pub fn sound_packets(path: &Path) -> Vec<String> {
    let value = probe(path, "-select_streams a:0 -show_packets -show_data_hash md5");
    let packets = value["packets"].as_array().expect("packets").iter();
    packets.map(|packet| packet["data_hash"].as_str().expect("a checksum").to_owned()).collect()
}

/// A flash, and the beep that goes with it, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When the picture turns white.
    pub flash: f64,
    /// How much later it begins to beep.
    pub offset: f64,
}

/// Decodes a file and pairs flashes with beeps. FFmpeg's filters find the ends of black and of silence, to the frame and
/// to the sample.
#[track_caller]
pub fn flashes(path: &Path) -> Vec<Event> {
    let mut command = ffmpeg_tool("ffmpeg").expect("asked for before");
    let filters = "-vf blackdetect=d=0.1:pix_th=0.4 -af silencedetect=n=-30dB:d=0.1 -f null -";
    command.args("-loglevel info -nostats -nostdin -copyts -i".split(' ')).arg(path).args(filters.split(' '));
    let output = command.output().expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let times = |key: &str| -> Vec<f64> {
        let values = text.split(key).skip(1).filter_map(|rest| rest.split_whitespace().next());
        values.map(|value| value.parse().unwrap_or_else(|_| panic!("{key}{value}"))).collect()
    };
    // What is over soon after. The filters give the end of the file too, and it is none of them.
    let short = |starts: &str, ends: &str| -> Vec<f64> {
        let ends = times(ends);
        let is_short = |start: &f64| ends.iter().any(|end| (0.0..0.3).contains(&(end - start)));
        times(starts).into_iter().filter(is_short).collect()
    };
    let (white, beeps) = (short("black_end:", "black_start:"), short("silence_end: ", "silence_start: "));
    let nearest = |flash: f64| beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()));
    let pairs = white.into_iter().filter_map(|flash| Some(Event { flash, offset: nearest(flash)? }));
    // A beep without its flash, or the reverse, where a connection was cut.
    pairs.filter(|event| event.offset.abs() < 0.4).collect()
}
