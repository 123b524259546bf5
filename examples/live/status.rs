//! How it goes: a line on a terminal, or lines of JSON.

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use srup_examples::{print, tell};

/// Time between two lines, on a terminal, as JSON, and elsewhere.
const TERMINAL: Duration = Duration::from_millis(500);
const JSON: Duration = Duration::from_secs(1);
const PLAIN: Duration = Duration::from_secs(10);

/// What the source does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing has come yet.
    #[default]
    Waiting,
    /// Data flow.
    Playing,
    /// It has dropped out.
    Reconnecting,
    /// It is over.
    Ended,
}

/// Everything that is told. Fields are the keys of the JSON lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// What the source does.
    pub state: State,
    /// Seconds since the start.
    pub seconds: f64,
    /// The network in use.
    pub model: String,
    /// Size of the frames that come in; empty before the first.
    pub input: String,
    /// Size of the frames that go out; empty before the first.
    pub output: String,
    /// Frames that have gone out.
    pub frames: u64,
    /// Frames a second, over the last two seconds.
    pub fps: f64,
    /// The longest that a frame took from the source to the encoder's end in the last two seconds, in milliseconds.
    pub latency_ms: f64,
    /// Frames that came later than the reported latency.
    pub late: u64,
    /// Frames made by plain resampling to be in time.
    pub bicubic: u64,
    /// Share of the picture that had not changed and was not computed again: 0 to 1.
    pub reused: f64,
    /// Frames left out.
    pub dropped: u64,
    /// Changes of the network.
    pub switches: u64,
    /// How often the source has come back.
    pub reconnects: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting => "waiting for the source",
            State::Playing => "",
            State::Reconnecting => "reconnecting, ",
            State::Ended => "ended, ",
        };
        f.write_str(state)?;
        if self.frames == 0 && self.state == State::Waiting {
            return Ok(());
        }
        write!(f, "{}, {} to {}, {:.1} fps, ", self.model, self.input, self.output, self.fps)?;
        write!(f, "latency {:.0} ms, {} late, {} bicubic, ", self.latency_ms, self.late, self.bicubic)?;
        write!(f, "{:.0} % reused, {} dropped, {} reconnects", 100.0 * self.reused, self.dropped, self.reconnects)
    }
}

/// The last figures, for whoever asks.
pub type Board = Arc<Mutex<Figures>>;

/// Where the user looks.
pub struct Screen {
    json: bool,
    bar: Option<ProgressBar>,
    board: Board,
    shown: Option<Instant>,
}

impl Screen {
    /// With `json` lines go to stdout, else a line stands on the terminal, or lines go to stderr.
    pub fn new(json: bool, board: Board) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { json, bar, board, shown: None }
    }

    /// Shows the figures if it is time to.
    pub fn update(&mut self, figures: Figures) {
        let pause = match (&self.bar, self.json) {
            (Some(_), _) => TERMINAL,
            (None, true) => JSON,
            (None, false) => PLAIN,
        };
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = figures.clone();
        if self.shown.is_none_or(|time| time.elapsed() >= pause) {
            self.show(&figures);
        }
    }

    /// Shows the figures.
    pub fn show(&mut self, figures: &Figures) {
        self.shown = Some(Instant::now());
        match &self.bar {
            Some(bar) => {
                bar.set_message(figures.to_string());
                bar.tick();
            }
            None if self.json => print(serde_json::to_string(figures).unwrap_or_default()),
            None => tell(figures),
        }
    }

    /// Tells of an event without breaking the line.
    pub fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(text)),
            None => tell(text),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_there_is_to_say() {
        assert_eq!(Figures::default().to_string(), "waiting for the source");
        let figures = Figures {
            state: State::Reconnecting,
            model: "luma-s".into(),
            input: "640x360".into(),
            output: "1280x720".into(),
            frames: 100,
            fps: 24.96,
            latency_ms: 41.2,
            late: 1,
            reused: 0.456,
            reconnects: 2,
            ..Figures::default()
        };
        let line = "reconnecting, luma-s, 640x360 to 1280x720, 25.0 fps, latency 41 ms, 1 late, 0 bicubic, 46 % reused, \
                    0 dropped, 2 reconnects";
        assert_eq!(figures.to_string(), line);
        assert_eq!(serde_json::to_value(&figures).unwrap()["state"], "reconnecting");
    }
}
