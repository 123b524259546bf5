//! Workers: a thread and its buffers each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::ThreadPool;

use super::kernels::global::ChunkRoom;
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
    pub scratch: Vec<f32>,
    /// For the attention of a chunk, one for each shape that the networks have.
    pub chunks: Vec<ChunkRoom>,
}

/// Runs tasks on a thread pool, with one [`Worker`] for each thread.
#[derive(Debug)]
pub struct Workers {
    pool: Arc<ThreadPool>,
    workers: Vec<Mutex<Worker>>,
}

impl Workers {
    /// One worker for each thread of the pool.
    pub fn new(pool: Arc<ThreadPool>, worker: impl Fn() -> Worker) -> Self {
        let workers = (0..pool.current_num_threads()).map(|_| Mutex::new(worker())).collect();
        Self { pool, workers }
    }

    /// Runs tasks 0 to `count - 1`, each once, in any order.
    pub fn each(&self, count: usize, task: impl Fn(usize, &mut Worker) + Sync) {
        let next = AtomicUsize::new(0);
        let work = |thread: usize| {
            let mut worker = self.worker(thread);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                task(index, &mut worker);
            }
        };
        if count == 1 || self.workers.len() == 1 {
            work(0);
        } else {
            self.pool.broadcast(|context| work(context.index()));
        }
    }

    /// A task that panicked leaves buffers in disorder, not unsafe: every task writes what it reads.
    fn worker(&self, thread: usize) -> MutexGuard<'_, Worker> {
        self.workers[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
