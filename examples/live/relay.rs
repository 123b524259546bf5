//! The source, the output, and what is done when the source goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use srup_examples::{Ending, Failure};

use crate::address::{Input, Manner, Output as Address};
use crate::args::Args;
use crate::feed::Feed;
use crate::ingest::{Event, Ingest, Wishes};
use crate::meter::Meter;
use crate::output::Output;
use crate::reconnect::Backoff;
use crate::status::{Figures, Screen, State};
use crate::stop;

/// How often everything is looked after.
const STEP: Duration = Duration::from_millis(20);

/// How long the output may stand still before it has ended: encoders and networks hold seconds at most.
const END_LIMIT: Duration = Duration::from_secs(15);

/// One run, from the first connection to the end of the output.
pub struct Relay<'a> {
    args: &'a Args,
    input: Input,
    address: Address,
    clock: gst::Clock,
    feed: Arc<Feed>,
    meter: Arc<Meter>,
    screen: Screen,
    output: Option<Output>,
    link: Link,
    backoff: Backoff,
    started: Instant,
    reconnects: u64,
}

/// How it stands with the source.
enum Link {
    /// Nothing of this connection has arrived; there were that many arrivals before.
    Connecting { ingest: Ingest, arrivals: u64, since: Instant },
    /// Data flow.
    Playing(Ingest),
    /// It is gone, and is tried again then.
    Down { until: Instant },
}

/// Whether there is more to come.
#[derive(PartialEq, Eq)]
enum Source {
    GoesOn,
    IsOver,
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        // A source's threads may wait for an output that never comes; without them it can be closed.
        self.feed.end();
    }
}

impl<'a> Relay<'a> {
    /// Begins to connect.
    ///
    /// # Errors
    /// The source cannot be one.
    pub fn start(args: &'a Args, input: Input, address: Address, screen: Screen) -> Result<Self, Failure> {
        let clock = gst::SystemClock::obtain();
        let meter = Arc::default();
        let feed = Arc::new(Feed::new(&clock, &meter, input.manner() == Manner::File));
        let mut relay = Self {
            args,
            input,
            address,
            clock,
            feed,
            meter,
            screen,
            output: None,
            link: Link::Down { until: Instant::now() },
            backoff: Backoff::new(),
            started: Instant::now(),
            reconnects: 0,
        };
        relay.connect()?;
        Ok(relay)
    }

    /// Runs until the source is over or the user stops it, and ends the output properly.
    ///
    /// # Errors
    /// The source cannot be played, or something is wrong with the output.
    pub fn run(mut self) -> Result<Ending, Failure> {
        while !stop::requested() {
            if self.watch_source()? == Source::IsOver {
                break;
            }
            self.watch_output()?;
            let figures = self.figures();
            self.screen.update(figures);
            std::thread::sleep(STEP);
        }
        self.finish()
    }

    fn finish(mut self) -> Result<Ending, Failure> {
        self.feed.end();
        self.link = Link::Down { until: Instant::now() };
        if let Some(output) = &self.output {
            output.finish(END_LIMIT)?;
        }
        let figures = Figures { state: State::Ended, ..self.figures() };
        self.screen.show(&figures);
        Ok(if stop::requested() { Ending::Interrupted } else { Ending::Done })
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let wishes = Wishes {
            latency: self.args.latency,
            audio: self.address.container().map_or("", crate::container::Container::audio),
            microphone: self.args.microphone,
        };
        let arrivals = self.feed.arrivals();
        let ingest = Ingest::start(&self.input, &wishes, &self.feed, &self.clock)?;
        self.link = Link::Connecting { ingest, arrivals, since: Instant::now() };
        Ok(())
    }

    fn watch_source(&mut self) -> Result<Source, Failure> {
        let ingest = match &self.link {
            Link::Down { until } if Instant::now() >= *until => return self.connect().map(|()| Source::GoesOn),
            Link::Down { .. } => return Ok(Source::GoesOn),
            Link::Connecting { ingest, .. } | Link::Playing(ingest) => ingest,
        };
        match ingest.poll() {
            Some(Event::Ended) if matches!(self.input.manner(), Manner::File | Manner::Http) => {
                self.open_output()?;
                return match &self.output {
                    Some(_) => Ok(Source::IsOver),
                    None => {
                        Err(Failure::new(format!("cannot play {}: it has ended before a frame came", self.args.input)))
                    }
                };
            }
            Some(Event::Ended) => return self.lost("it has ended"),
            Some(Event::Lost(reason)) => return self.lost(&reason),
            None => {}
        }
        if let Err(failure) = self.open_output() {
            return if self.output.is_none() && self.reconnects == 0 {
                Err(failure)
            } else {
                self.lost(&failure.to_string())
            };
        }
        if self.has_stalled() {
            let seconds = self.stall().as_secs_f64();
            return self.lost(&format!("nothing has come for {seconds} s"));
        }
        self.note_arrival();
        Ok(Source::GoesOn)
    }

    /// Opens the output as soon as it is known what goes in.
    fn open_output(&mut self) -> Result<(), Failure> {
        let (Link::Connecting { ingest, .. } | Link::Playing(ingest)) = &self.link else { return Ok(()) };
        if self.output.is_some() {
            return Ok(());
        }
        let Some(streams) = ingest.streams() else { return Ok(()) };
        let streams = streams.map_err(|failure| Failure::new(format!("cannot play {}: {failure}", self.args.input)))?;
        let patient = self.input.manner() == Manner::File;
        let output = Output::open(self.args, &self.address, &streams, &self.meter, patient)?;
        let (video, audio) = output.sources();
        let base = self.feed.open(video, audio, self.address.bears());
        output.start(&self.clock, base).map_err(|failure| self.about_output(&failure))?;
        self.output = Some(output);
        Ok(())
    }

    /// The first data of a connection: the source is there, or is back.
    fn note_arrival(&mut self) {
        let Link::Connecting { arrivals, .. } = &self.link else { return };
        if self.feed.arrivals() == *arrivals {
            return;
        }
        if *arrivals > 0 {
            self.reconnects += 1;
            self.screen.tell(&format!("{} is back", self.args.input));
        }
        self.backoff.succeeded();
        let link = std::mem::replace(&mut self.link, Link::Down { until: Instant::now() });
        self.link = match link {
            Link::Connecting { ingest, .. } => Link::Playing(ingest),
            other => other,
        };
    }

    fn has_stalled(&self) -> bool {
        match &self.link {
            // A sender that has not come yet is no sender that has gone.
            Link::Connecting { .. } if self.input.manner() == Manner::Awaited => false,
            Link::Connecting { since, .. } => since.elapsed().min(self.feed.silence()) > self.stall(),
            Link::Playing(_) => self.feed.silence() > self.stall(),
            Link::Down { .. } => false,
        }
    }

    fn stall(&self) -> Duration {
        let seconds = if self.input.manner() == Manner::Http { 15 } else { 5 };
        self.args.stall.unwrap_or(Duration::from_secs(seconds))
    }

    /// The source is gone. It is tried again, unless it never was there or is a file.
    fn lost(&mut self, reason: &str) -> Result<Source, Failure> {
        let link = std::mem::replace(&mut self.link, Link::Down { until: Instant::now() });
        let (ingest, played) = match link {
            Link::Playing(ingest) => (ingest, true),
            Link::Connecting { ingest, .. } => (ingest, false),
            Link::Down { .. } => return Ok(Source::GoesOn),
        };
        let never_was_there = self.feed.arrivals() == 0 && !self.args.wait;
        let hopeless = match self.input.manner() {
            Manner::File => true,
            // A file that breaks off would begin anew.
            Manner::Http => never_was_there || (played && !ingest.is_broadcast()),
            Manner::Asked | Manner::Awaited => never_was_there,
        };
        if hopeless {
            // What has been decoded is kept, and the output is one that plays.
            let failure = Failure::new(format!("cannot play {}: {reason}", self.args.input));
            self.feed.end();
            drop(ingest);
            if let Some(output) = &self.output {
                output.finish(END_LIMIT)?;
            }
            return Err(failure);
        }
        if played && self.output.is_some() {
            ingest.drain();
        }
        // What may still come of it comes too late, and nobody waits with it.
        self.feed.begin();
        drop(ingest);
        let wait = self.backoff.failed();
        self.screen.tell(&format!("{}: {reason}; trying again in {:.1} s", self.args.input, wait.as_secs_f64()));
        self.link = Link::Down { until: Instant::now() + wait };
        Ok(Source::GoesOn)
    }

    fn watch_output(&mut self) -> Result<(), Failure> {
        if let Some(text) = self.feed.take_warning() {
            self.screen.tell(&format!("warning: {text}"));
        }
        let Some(output) = &self.output else { return Ok(()) };
        match output.poll().map_err(|failure| self.about_output(&failure))? {
            true => Err(self.about_output(&Failure::new("it has ended by itself"))),
            false => Ok(()),
        }
    }

    fn about_output(&self, failure: &Failure) -> Failure {
        Failure::new(format!("cannot play into {}: {failure}", self.args.output))
    }

    fn figures(&self) -> Figures {
        let reading = self.meter.read(Instant::now());
        let output = self.output.as_ref();
        let stats = output.map(Output::stats).unwrap_or_default();
        let [input_size, output_size] = match output.and_then(Output::sizes) {
            Some(sizes) => sizes.map(|(width, height)| format!("{width}x{height}")),
            None => [String::new(), String::new()],
        };
        let state = match &self.link {
            Link::Playing(_) => State::Playing,
            _ if self.feed.arrivals() == 0 => State::Waiting,
            _ => State::Reconnecting,
        };
        Figures {
            state,
            seconds: self.started.elapsed().as_secs_f64(),
            model: stats.model,
            input: input_size,
            output: output_size,
            frames: reading.frames,
            fps: reading.fps,
            latency_ms: reading.latency.as_secs_f64() * 1e3,
            late: stats.late,
            bicubic: stats.bicubic,
            reused: stats.reused,
            dropped: stats.dropped + self.feed.dropped(),
            switches: stats.switches,
            reconnects: self.reconnects,
        }
    }
}
