//! Frames in flight.

mod changes;
pub mod pacing;
mod scene;
mod tiles;
