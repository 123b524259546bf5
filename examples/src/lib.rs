//! What the example programs share: the engine's command-line arguments, and how a program ends.

mod arguments;
mod ending;
pub mod metrics;
pub mod picture;

pub use arguments::EngineArgs;
pub use ending::{Ending, Failure, finish};
