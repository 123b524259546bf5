//! What PTX instructions do, and what the checks find. The expectations are those of the PTX ISA manual.

mod collective;
mod common;
mod control;
mod convert;
mod counters;
mod device;
mod faults;
mod float;
mod integer;
mod matrix;
mod memory;
mod parse;
