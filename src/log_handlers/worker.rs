//! A handler at work: a bounded queue and a thread of its own. Whoever logs never waits.
//!
//! While a handler cannot write it keeps what it has and tries again; what no longer fits into the queue is dropped
//! and counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::configuration::HandlerKind;
use super::sinks::{Sink, SinkError};
use super::{Level, Record};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long a changed handler waits for the one before it.
const HANDOVER: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How a handler fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerStatus {
    /// Why the last attempt to write failed; `None` while all is well.
    pub failing: Option<String>,
    /// Records that were lost since the handler was made.
    pub dropped: u64,
}

#[derive(Default)]
struct Progress {
    kind: &'static str,
    failing: Mutex<Option<String>>,
    dropped: AtomicU64,
    /// How many records wait.
    queued: AtomicUsize,
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Working,
    /// What is queued is still written, where that works at once.
    Closing,
    Ended,
}

pub(super) struct Worker {
    pub kind: HandlerKind,
    pub level: Level,
    /// Grows with what waits, and is bounded by `capacity`: a bounded channel takes all of its memory at once.
    queue: Sender<Arc<Record>>,
    progress: Arc<Progress>,
}

/// A handler that was taken away and may still have something to write.
pub(super) struct Retired(Arc<Progress>);

impl Retired {
    /// Waits for its end, until `deadline`.
    pub fn wait(&self, deadline: Instant) {
        let stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = deadline.saturating_duration_since(Instant::now());
        let _ = self.0.changed.wait_timeout_while(stage, rest, |stage| *stage != Stage::Ended);
    }
}

/// A mail is slow and large; a line is neither.
fn capacity(kind: HandlerKind) -> usize {
    match kind {
        HandlerKind::Stream | HandlerKind::File => 32_768,
        HandlerKind::Syslog => 8192,
        HandlerKind::Smtp => 256,
    }
}

impl Worker {
    /// Begins once `predecessor`, which writes to the same place, has written what it had.
    pub fn start(
        kind: HandlerKind,
        level: Level,
        sink: Box<dyn Sink>,
        predecessor: Option<Retired>,
    ) -> std::io::Result<Self> {
        let (queue, records) = channel();
        let progress = Arc::new(Progress { kind: kind.as_str(), ..Progress::default() });
        let (name, shared) = (format!("log {}", kind.as_str()), progress.clone());
        std::thread::Builder::new().name(name).spawn(move || {
            if let Some(predecessor) = predecessor {
                predecessor.wait(Instant::now() + HANDOVER);
            }
            work(kind, sink, &records, &shared);
            shared.enter(Stage::Ended);
        })?;
        Ok(Self { kind, level, queue, progress })
    }

    /// Hands a record over, or drops it.
    pub fn take(&self, record: &Arc<Record>) {
        if record.level < self.level {
            return;
        }
        let progress = &self.progress;
        let is_full = progress.queued.fetch_add(1, Ordering::Relaxed) >= capacity(self.kind);
        if is_full || self.queue.send(record.clone()).is_err() {
            progress.queued.fetch_sub(1, Ordering::Relaxed);
            progress.drop_one();
        }
    }

    pub fn status(&self) -> HandlerStatus {
        let failing = self.progress.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        HandlerStatus { failing, dropped: self.progress.dropped.load(Ordering::Relaxed) }
    }

    /// Lets the thread write what is queued and end, as soon as nobody holds this handler any more.
    pub fn retire(self: Arc<Self>) -> Retired {
        self.progress.enter(Stage::Closing);
        Retired(self.progress.clone())
    }
}

impl Progress {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("k8smgr_log_records_dropped_total", "handler" => self.kind).increment(1);
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.changed.notify_all();
    }

    fn is_closing(&self) -> bool {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) != Stage::Working
    }

    /// Waits, but not for a handler that was taken away.
    fn pause(&self, duration: Duration) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(stage, duration, |stage| *stage == Stage::Working);
    }

    fn note(&self, kind: HandlerKind, failing: Option<&str>) {
        let mut known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, failing.map(str::to_owned));
        drop(known);
        match (before, failing) {
            (None, Some(reason)) => tracing::warn!(handler = kind.as_str(), reason, "log handler fails"),
            (Some(_), None) => {
                let dropped = self.dropped.load(Ordering::Relaxed);
                tracing::info!(handler = kind.as_str(), dropped, "log handler works again");
            }
            _ => {}
        }
    }
}

fn work(kind: HandlerKind, mut sink: Box<dyn Sink>, records: &Receiver<Arc<Record>>, progress: &Progress) {
    if let Err(SinkError::Broken(reason) | SinkError::Refused(reason)) = sink.open() {
        progress.note(kind, Some(&reason));
    }
    for record in records {
        progress.queued.fetch_sub(1, Ordering::Relaxed);
        if !deliver(kind, sink.as_mut(), &record, progress) {
            progress.drop_one();
            // Taken away while it cannot write: nothing of the rest would come through either.
            records.try_iter().for_each(|_| progress.drop_one());
            return;
        }
    }
}

/// False: it was taken away before the record could be written.
fn deliver(kind: HandlerKind, sink: &mut dyn Sink, record: &Record, progress: &Progress) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        match sink.write(record) {
            Ok(()) => {
                progress.note(kind, None);
                return true;
            }
            Err(SinkError::Refused(reason)) => {
                progress.drop_one();
                progress.note(kind, Some(&reason));
                return true;
            }
            Err(SinkError::Broken(reason)) => {
                progress.note(kind, Some(&reason));
                if progress.is_closing() {
                    return false;
                }
                progress.pause(pause);
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}
