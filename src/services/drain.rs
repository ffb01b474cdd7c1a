//! The end of the process: what is under way is tracked, so that it can be waited for, and no start begins any more.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Services;
use crate::cluster::Deadline;

#[derive(Default)]
pub struct Drain {
    is_ending: AtomicBool,
    refuses_starts: AtomicBool,
    work: TaskTracker,
}

impl Drain {
    /// Work that changes something, in a task of its own: whoever asked for it may go away.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.work.spawn(work)
    }

    /// `None`: the process ends.
    pub fn spawn_start<F>(&self, start: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        (!self.refuses_starts.load(Ordering::SeqCst)).then(|| self.spawn(start))
    }
}

impl Services {
    /// The process is about to end: whoever distributes requests should send no more. They are answered all the same.
    pub fn announce_end(&self) {
        self.drain.is_ending.store(true, Ordering::SeqCst);
        self.changes.tell_all();
    }

    pub fn is_ending(&self) -> bool {
        self.drain.is_ending.load(Ordering::SeqCst)
    }

    pub fn refuse_starts(&self) {
        self.drain.refuses_starts.store(true, Ordering::SeqCst);
    }

    /// Waits until nothing is under way. False: something still was at the deadline; `recover` finishes it.
    pub async fn finish_work(&self, deadline: Deadline) -> bool {
        self.drain.work.close();
        let finished = deadline.bound(self.drain.work.wait()).await.is_some();
        self.drain.work.reopen();
        finished
    }
}
