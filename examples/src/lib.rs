//! What the example programs share: the engine's command-line arguments, video files, traces, where names lead,
//! lines for the user, signals, and how a program ends.

mod arguments;
mod ending;
pub mod metrics;
pub mod picture;
mod place;
mod say;
pub mod signals;
pub mod trace;
pub mod video;

pub use arguments::{EngineArgs, model_help};
pub use ending::{Ending, Failure, finish};
pub use place::are_one;
pub use say::{print, tell};
