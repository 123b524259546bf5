//! Workers: a thread and its buffers each.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::ThreadPool;

/// Runs tasks on a thread pool, with one worker's buffers, a `W`, for each thread.
#[derive(Debug)]
pub struct Workers<W> {
    pool: Arc<ThreadPool>,
    workers: Vec<Mutex<W>>,
}

impl<W: Send> Workers<W> {
    /// One worker for each thread of the pool.
    pub fn new(pool: Arc<ThreadPool>, worker: impl Fn() -> W) -> Self {
        let workers = (0..pool.current_num_threads()).map(|_| Mutex::new(worker())).collect();
        Self { pool, workers }
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Runs tasks 0 to `count - 1`, each once, in any order.
    pub fn each(&self, count: usize, task: impl Fn(usize, &mut W) + Sync) {
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

    /// Runs a task for each part of a frame, once: rows in as many bands as there are workers, columns in strips of no more than
    /// `strip`.
    pub fn each_part(
        &self,
        (rows, columns): (usize, usize),
        strip: usize,
        task: impl Fn((Range<usize>, Range<usize>), &mut W) + Sync,
    ) {
        let (bands, strips) = (self.count().min(rows), columns.div_ceil(strip));
        let part = |i: usize, count: usize, of: usize| i * of / count..(i + 1) * of / count;
        self.each(bands * strips, |i, worker| {
            task((part(i / strips, bands, rows), part(i % strips, strips, columns)), worker);
        });
    }

    /// A task that panicked leaves buffers in disorder, not unsafe: every task writes what it reads.
    fn worker(&self, thread: usize) -> MutexGuard<'_, W> {
        self.workers[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
