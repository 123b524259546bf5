//! A CUDA driver that runs PTX on the CPU, with checks that no GPU makes.
pub mod counters;
pub mod fault;
pub mod launch;
pub mod memory;
pub mod ptx;
