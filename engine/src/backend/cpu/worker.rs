//! What a thread keeps that computes parts of a program.

use super::kernels::attend::ChunkRoom;
use super::line::{Buffer, TapRoom};

/// Buffers of a worker, kept from frame to frame.
#[derive(Debug)]
pub struct Worker {
    /// Rings of rows.
    pub rings: Vec<Buffer>,
    /// Tables of lines.
    pub taps: TapRoom,
    /// A line of zeros, of the longest geometry.
    pub zeros: Vec<f32>,
    /// Scratch of kernels.
    pub scratch: Buffer,
    /// For the attention of a chunk, one for each shape that the networks have.
    pub chunks: Vec<ChunkRoom>,
}
