//! The driver: its state behind one lock, and the way into it.
//!
//! Every export counts its call, takes the lock and runs one function of [`state::Driver`]; nothing of the driver runs
//! outside of it.

pub mod abi;
pub mod code;
pub mod exports;
pub mod report;

mod allocation;
mod capture;
mod clock;
mod config;
mod context;
mod copy;
mod device;
mod entry;
mod event;
mod graph;
mod injection;
mod launch;
mod log;
mod module;
mod operation;
mod pinned;
mod schedule;
mod simulation;
mod state;
mod stream;
