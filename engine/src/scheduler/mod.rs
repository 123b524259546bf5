//! Frames in flight, and which network each of them gets.

pub mod pacing;
