//! The hand-over: what a source gives is laid upon the output's time line and pushed into the output.
//!
//! It outlives sources. While there is no output yet, a source's threads wait here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::AppSrc;

use crate::meter::Meter;
use crate::rebase::Rebase;

/// Frames that wait for the upscaler hold at most this much time of a source that does not wait, and this many bytes.
const MOST_TIME: gst::ClockTime = gst::ClockTime::from_seconds(2);
const MOST_BYTES: u64 = 256 << 20;

/// Later than this, and the rest of the stream is moved. Under it sinks and receivers have reserves.
const TOLERANCE: i64 = 500_000_000;

/// What arrives first goes there on the output's time line: what belongs before it, the sound that a decoder needs first,
/// has a place too.
const LEAD: gst::ClockTime = gst::ClockTime::from_mseconds(250);

/// So far behind the picture may sound be before it is taken for silent, and so much silence is named at a time.
const SILENCE: gst::ClockTime = gst::ClockTime::from_seconds(1);
const SILENCE_STEP: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// So much picture without sound, in nanoseconds, and sound is given up where the output would wait for it: queues hold a
/// little more. A pause of both counts for no more than one step.
const LOST: i64 = 4_000_000_000;
const LONGEST_STEP: i64 = 1_000_000_000;

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Frames.
    Video = 0,
    /// Sound, encoded or not.
    Audio = 1,
}

/// What the output takes in mid-stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bears {
    /// It knows what silence is; others wait for the next sound.
    pub gaps: bool,
    /// Rate and channels of encoded sound may change.
    pub changed_sound: bool,
}

/// The way from sources to the output.
pub struct Feed {
    clock: gst::Clock,
    meter: Arc<Meter>,
    /// Nothing is left out and nothing moves: the source waits.
    patient: bool,
    state: Mutex<State>,
    opened: Condvar,
    started: Instant,
    arrivals: AtomicU64,
    /// When something arrived last, in milliseconds after `started`.
    latest: AtomicU64,
    pushing: AtomicUsize,
    dropped: AtomicU64,
}

struct State {
    rebase: Rebase,
    gate: Gate,
    /// The connection that may push.
    epoch: u64,
    /// The clock when the very first data came.
    first: Option<gst::ClockTime>,
    ports: [Option<Port>; 2],
    bears: Bears,
    /// The user knows that there is sound without a place in the output.
    told_of_sound: bool,
    warning: Option<String>,
}

enum Gate {
    Shut,
    /// The clock's time that is 0 on the output's time line.
    Open(gst::ClockTime),
    Ended,
}

struct Port {
    source: AppSrc,
    caps: Option<gst::Caps>,
    /// The next buffer is the first of a connection.
    fresh: bool,
    /// Where on the output's time line it has ended so far.
    end: i64,
    /// How much picture has come since.
    alone: i64,
}

/// Counts a thread that is inside, however it leaves.
struct Inside<'a>(&'a Feed);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.touch();
        self.0.pushing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Feed {
    /// A feed without an output. With `patient` the source is made to wait rather than left out.
    pub fn new(clock: &gst::Clock, meter: &Arc<Meter>, patient: bool) -> Self {
        let state = State {
            rebase: Rebase::new((!patient).then_some(TOLERANCE)),
            gate: Gate::Shut,
            epoch: 0,
            first: None,
            ports: [None, None],
            bears: Bears { gaps: true, changed_sound: true },
            told_of_sound: false,
            warning: None,
        };
        Self {
            clock: clock.clone(),
            meter: meter.clone(),
            patient,
            state: Mutex::new(state),
            opened: Condvar::new(),
            started: Instant::now(),
            arrivals: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            pushing: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Opens the way into the output. One that does not bear gaps loses sound that stays away for good. Returns the clock's time that is 0 there: just before the first data came.
    pub fn open(&self, video: AppSrc, audio: Option<AppSrc>, bears: Bears) -> gst::ClockTime {
        let mut state = self.lock();
        state.bears = bears;
        let base = state.first.unwrap_or_else(|| self.clock.time()).saturating_sub(LEAD);
        state.ports = [Some(video), audio]
            .map(|source| source.map(|source| Port { source, caps: None, fresh: true, end: 0, alone: 0 }));
        state.gate = Gate::Open(base);
        self.opened.notify_all();
        base
    }

    /// A new connection begins. Returns its number; earlier ones have ended, and their threads are sent back.
    pub fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.rebase.restart();
        state.ports.iter_mut().flatten().for_each(|port| port.fresh = true);
        state.epoch += 1;
        self.opened.notify_all();
        state.epoch
    }

    /// Nothing more goes in; what is inside goes out.
    pub fn end(&self) {
        let mut state = self.lock();
        state.gate = Gate::Ended;
        self.opened.notify_all();
        for port in state.ports.iter_mut().filter_map(Option::take) {
            // Refused only where the output is gone already.
            let _ = port.source.end_of_stream();
        }
    }

    /// How many buffers have come so far.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// How long nothing has come, while it could have.
    pub fn silence(&self) -> Duration {
        if self.pushing.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.started.elapsed().saturating_sub(Duration::from_millis(self.latest.load(Ordering::Relaxed)))
    }

    /// Frames left out because the upscaler was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Something to tell the user, once.
    pub fn take_warning(&self) -> Option<String> {
        self.lock().warning.take()
    }

    /// Takes a sample of a connection, on the source's thread.
    ///
    /// # Errors
    /// The connection or the output has ended.
    pub fn push(&self, epoch: u64, medium: Medium, sample: &gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (arrived, came) = (self.clock.time(), Instant::now());
        self.pushing.fetch_add(1, Ordering::Relaxed);
        let _inside = Inside(self);
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.touch();
        let Some((source, buffer)) = self.placed(epoch, medium, sample, arrived)? else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let behind = source.current_level_time() >= MOST_TIME || source.current_level_bytes() >= MOST_BYTES;
        if medium == Medium::Video && behind && !self.patient {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(gst::FlowSuccess::Ok);
        }
        if let (Medium::Video, Some(time)) = (medium, buffer.pts()) {
            self.meter.enter(time, came);
        }
        source.push_buffer(buffer)
    }

    /// The sample's buffer with its time on the output's time line, and where it goes; None for what has no place there.
    fn placed(
        &self,
        epoch: u64,
        medium: Medium,
        sample: &gst::Sample,
        arrived: gst::ClockTime,
    ) -> Result<Option<(AppSrc, gst::Buffer)>, gst::FlowError> {
        let mut state = self.lock();
        state.first.get_or_insert(arrived);
        let base = loop {
            match state.gate {
                _ if state.epoch != epoch => return Err(gst::FlowError::Eos),
                Gate::Shut => state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner),
                Gate::Open(base) => break base,
                Gate::Ended => return Err(gst::FlowError::Eos),
            }
        };
        let State { rebase, ports, warning, bears, told_of_sound, .. } = &mut *state;
        let Some(port) = &mut ports[medium as usize] else {
            if !std::mem::replace(told_of_sound, true) {
                *warning = Some("the source has sound now, which the output was not opened for; it is left out".into());
            }
            return Ok(None);
        };
        let Some(mut buffer) = sample.buffer_owned() else { return Ok(None) };
        if let Some(text) = sample.caps().and_then(|caps| port.take_caps(caps, bears.changed_sound)) {
            *warning = Some(text);
        }
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let media = segment.and_then(|segment| segment.to_running_time_full(buffer.pts()));
        let (Some(media), true) = (media, port.caps.is_some()) else { return Ok(None) };
        let now = arrived.nseconds() as i64 - base.nseconds() as i64;
        let duration = buffer.duration().unwrap_or_default();
        let placed = rebase.place(signed(media), duration.nseconds() as i64, now);
        let end = placed + duration.nseconds() as i64;
        let passed = (end - std::mem::replace(&mut port.end, end)).clamp(0, LONGEST_STEP);
        port.alone = 0;
        let Ok(placed) = u64::try_from(placed) else { return Ok(None) };
        let edited = buffer.make_mut();
        edited.set_pts(gst::ClockTime::from_nseconds(placed));
        edited.set_dts(None);
        if std::mem::take(&mut port.fresh) {
            edited.set_flags(gst::BufferFlags::DISCONT);
        }
        let source = port.source.clone();
        if medium == Medium::Video {
            state.go_on_without_sound(placed, passed);
        }
        Ok(Some((source, buffer)))
    }

    fn touch(&self) {
        self.latest.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// A lock whose holder panicked guards nothing half-done: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The picture has come to `placed`, `passed` further: nothing is to wait for sound that does not come.
    fn go_on_without_sound(&mut self, placed: u64, passed: i64) {
        let Some(sound) = &mut self.ports[Medium::Audio as usize] else { return };
        sound.alone += passed;
        if self.bears.gaps {
            sound.skip_to(placed.saturating_sub(SILENCE.nseconds()));
        } else if sound.alone > LOST {
            // Refused only where the output is gone already.
            let _ = sound.source.end_of_stream();
            self.ports[Medium::Audio as usize] = None;
            self.told_of_sound = true;
            self.warning = Some("the source's sound does not come any more; the output goes on without it".to_owned());
        }
    }
}

impl Port {
    /// Says that there is nothing up to that time, where there is nothing: muxers wait for what may still come.
    fn skip_to(&mut self, time: u64) {
        let (from, to) = (u64::try_from(self.end).unwrap_or(0), time);
        if to < from.saturating_add(SILENCE_STEP.nseconds()) {
            return;
        }
        let [from_time, length] = [from, to - from].map(gst::ClockTime::from_nseconds);
        self.source.send_event(gst::event::Gap::builder(from_time).duration(length).build());
        self.end = to as i64;
    }

    /// Passes changed caps on. Sound of another kind than at the start has no place in the output: it leaves `caps` empty,
    /// and the text for the user is returned once.
    fn take_caps(&mut self, caps: &gst::CapsRef, bears_changes: bool) -> Option<String> {
        if self.caps.as_deref().is_some_and(|known| known.is_strictly_equal(caps)) {
            return None;
        }
        let first = self.source.caps();
        let fixed = !bears_changes && is_encoded_sound(caps);
        let fits = |first: &gst::Caps| kind(first) == kind(caps) && !(fixed && is_changed(first, caps));
        if first.as_ref().is_none_or(fits) {
            // Such a muxer takes caps once, whatever little there is to them.
            if first.is_none() || !fixed {
                self.source.set_caps(Some(&caps.to_owned()));
            }
            self.caps = Some(caps.to_owned());
            return None;
        }
        self.caps.take().map(|_| {
            format!("the source's sound is now {}, which the output was not opened for; it is left out", named(caps))
        })
    }
}

fn signed(time: gst::Signed<gst::ClockTime>) -> i64 {
    match time {
        gst::Signed::Positive(time) => time.nseconds() as i64,
        gst::Signed::Negative(time) => -(time.nseconds() as i64),
    }
}

/// What a stream is, apart from rates and sizes.
fn kind(caps: &gst::CapsRef) -> String {
    let structure = caps.structure(0);
    let version = structure.and_then(|structure| structure.get::<i32>("mpegversion").ok());
    let name = structure.map_or("nothing", |structure| structure.name().as_str());
    version.map_or_else(|| name.to_owned(), |version| format!("{name} version {version}"))
}

fn is_encoded_sound(caps: &gst::CapsRef) -> bool {
    let name = caps.structure(0).map_or("", |structure| structure.name().as_str());
    name.starts_with("audio/") && name != "audio/x-raw"
}

/// Whether encoded sound has another head than a muxer has written down.
fn is_changed(first: &gst::CapsRef, caps: &gst::CapsRef) -> bool {
    let [first, new] = [first, caps].map(|caps| caps.structure(0));
    let value = |structure: Option<&gst::StructureRef>, name| -> Option<String> {
        structure?.value(name).ok().and_then(|value| value.serialize().ok()).map(Into::into)
    };
    ["rate", "channels", "layer", "mpegaudioversion", "profile", "codec_data", "streamheader"]
        .into_iter()
        .any(|name| value(first, name) != value(new, name))
}

/// The kind, for the user, with rate and channels where they are known.
fn named(caps: &gst::CapsRef) -> String {
    let number = |name| caps.structure(0).and_then(|structure| structure.get::<i32>(name).ok());
    let rate = number("rate").map(|rate| format!(", {rate} Hz")).unwrap_or_default();
    let channels = number("channels").map(|count| format!(", channels: {count}")).unwrap_or_default();
    kind(caps) + &rate + &channels
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Bears = Bears { gaps: true, changed_sound: true };

    fn sample(caps: &str, milliseconds: u64) -> gst::Sample {
        let mut buffer = gst::Buffer::with_size(4).unwrap();
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(milliseconds));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        gst::Sample::builder().buffer(&buffer).caps(&caps.parse().unwrap()).segment(&segment).build()
    }

    fn feed() -> (Feed, [AppSrc; 2]) {
        gst::init().unwrap();
        let feed = Feed::new(&gst::SystemClock::obtain(), &Arc::default(), true);
        assert_eq!(feed.begin(), 1);
        let sources = [(); 2].map(|()| AppSrc::builder().format(gst::Format::Time).build());
        (feed, sources)
    }

    #[test]
    fn threads_wait_until_there_is_an_output_and_silence_counts_only_without_them() {
        let (feed, [video, audio]) = feed();
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| feed.push(1, Medium::Video, &sample("video/x-raw", 500)));
            while feed.arrivals() == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(30));
            assert_eq!(feed.silence(), Duration::ZERO);
            let base = feed.open(video.clone(), Some(audio), ALL);
            assert!(base + gst::ClockTime::from_mseconds(20) < gst::SystemClock::obtain().time());
            assert_eq!(pushing.join().unwrap(), Ok(gst::FlowSuccess::Ok));
        });
        assert_eq!(video.current_level_buffers(), 1);
        assert_eq!(video.caps().unwrap().to_string(), "video/x-raw");
        std::thread::sleep(Duration::from_millis(5));
        assert!(feed.silence() >= Duration::from_millis(4));
        feed.end();
        assert_eq!(feed.push(1, Medium::Video, &sample("video/x-raw", 540)), Err(gst::FlowError::Eos));
    }

    #[test]
    fn what_an_earlier_connection_still_has_is_sent_back() {
        let (feed, [video, _]) = feed();
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| feed.push(1, Medium::Video, &sample("video/x-raw", 500)));
            while feed.arrivals() == 0 {
                std::thread::yield_now();
            }
            assert_eq!(feed.begin(), 2);
            assert_eq!(pushing.join().unwrap(), Err(gst::FlowError::Eos));
        });
        feed.open(video.clone(), None, ALL);
        assert_eq!(feed.push(1, Medium::Video, &sample("video/x-raw", 500)), Err(gst::FlowError::Eos));
        assert_eq!(feed.push(2, Medium::Video, &sample("video/x-raw", 500)), Ok(gst::FlowSuccess::Ok));
        assert_eq!(video.current_level_buffers(), 1);
    }

    #[test]
    fn sound_that_stays_away_is_ended_where_the_output_would_wait_for_it() {
        let (feed, [video, audio]) = feed();
        feed.open(video, Some(audio), Bears { gaps: false, ..ALL });
        let frames = |range: std::ops::Range<u64>| {
            for n in range {
                feed.push(1, Medium::Video, &sample("video/x-raw", 20_000 + 40 * n)).unwrap();
            }
        };
        let sound =
            |milliseconds| feed.push(1, Medium::Audio, &sample("audio/mpeg, mpegversion=4", milliseconds)).unwrap();
        sound(0);
        // A pause of both, and the picture is back first.
        frames(0..10);
        sound(20_000);
        frames(10..100);
        assert_eq!(feed.take_warning(), None);
        frames(100..120);
        assert!(feed.take_warning().is_some_and(|text| text.contains("without it")));
        sound(25_000);
        frames(120..300);
        assert_eq!(feed.take_warning(), None);
    }

    #[test]
    fn sound_of_another_kind_is_left_out_and_named_once() {
        let aac = "audio/mpeg, mpegversion=4, rate=48000";
        let slower = "audio/mpeg, mpegversion=4, rate=44100";
        let mp3 = "audio/mpeg, mpegversion=1";
        // MPEG-TS and FLV take another rate, Matroska and MP4 do not.
        for (changed_sound, expected) in [
            (true, [(aac, 1, false), (slower, 2, false), (mp3, 2, true), (mp3, 2, false), (aac, 3, false)]),
            (false, [(aac, 1, false), (slower, 1, true), (slower, 1, false), (mp3, 1, false), (aac, 2, false)]),
        ] {
            let (feed, [video, audio]) = feed();
            feed.open(video, Some(audio.clone()), Bears { gaps: true, changed_sound });
            for (caps, taken, warned) in expected {
                feed.push(1, Medium::Audio, &sample(caps, 500)).unwrap();
                assert_eq!(audio.current_level_buffers(), taken, "{caps}");
                assert_eq!(feed.take_warning().is_some(), warned, "{caps}");
            }
        }
    }

    #[test]
    fn decoded_sound_may_change_everywhere_and_what_says_nothing_of_the_sound_too() {
        let (feed, [video, audio]) = feed();
        feed.open(video, Some(audio.clone()), Bears { gaps: true, changed_sound: false });
        for rate in [48000, 44100] {
            feed.push(1, Medium::Audio, &sample(&format!("audio/x-raw, rate={rate}"), 500)).unwrap();
        }
        assert_eq!((audio.current_level_buffers(), feed.take_warning()), (2, None));
        let (feed, [video, audio]) = self::feed();
        feed.open(video, Some(audio.clone()), Bears { gaps: true, changed_sound: false });
        for level in ["2", "4"] {
            let caps = format!("audio/mpeg, mpegversion=4, rate=48000, level=(string){level}");
            feed.push(1, Medium::Audio, &sample(&caps, 500)).unwrap();
        }
        assert_eq!((audio.current_level_buffers(), feed.take_warning()), (2, None));
    }

    #[test]
    fn sound_that_comes_too_late_for_the_output_is_named_once() {
        let (feed, [video, _]) = feed();
        feed.open(video, None, ALL);
        feed.push(1, Medium::Video, &sample("video/x-raw", 500)).unwrap();
        assert_eq!(feed.take_warning(), None);
        for warned in [true, false] {
            feed.push(1, Medium::Audio, &sample("audio/x-raw", 500)).unwrap();
            assert_eq!(feed.take_warning().is_some(), warned);
        }
    }
}
