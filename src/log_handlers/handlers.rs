//! The handlers that are active, and how they are exchanged while everybody logs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::bounds::Bounds;
use super::configuration::{Configuration, Destination, HandlerKind};
use super::sinks::{Impossible, Sink, sink};
use super::worker::{HandlerStatus, Retired, Worker};
use super::{HandlerLayer, Level, Record};
use crate::domain::Json;

/// A handler as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredHandler {
    pub handler: String,
    pub configuration: Json,
}

/// Where records are handed to those handlers that are active now.
#[derive(Default)]
pub(super) struct Switch {
    active: RwLock<Vec<Arc<Worker>>>,
    lowest: AtomicU8,
}

/// A handler with what it was made from, so that an unchanged one is left alone.
struct Made {
    stored: StoredHandler,
    worker: Arc<Worker>,
}

#[derive(Default)]
struct Current {
    made: Vec<Made>,
    bounds: Bounds,
}

/// The log handlers of this process. Clones are the same ones.
#[derive(Clone)]
pub struct LogHandlers {
    switch: Arc<Switch>,
    current: Arc<Mutex<Current>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Default for LogHandlers {
    fn default() -> Self {
        let switch = Switch { active: RwLock::default(), lowest: AtomicU8::new(Level::DEACTIVATE.0) };
        Self { switch: Arc::new(switch), current: Arc::default(), turn: Arc::default() }
    }
}

impl Switch {
    pub fn lowest(&self) -> Level {
        Level(self.lowest.load(Ordering::Relaxed))
    }

    pub fn publish(&self, record: Record) {
        let record = Arc::new(record);
        for worker in self.active.read().unwrap_or_else(PoisonError::into_inner).iter() {
            worker.take(&record);
        }
    }

    fn exchange(&self, active: Vec<Arc<Worker>>) {
        let lowest = active.iter().map(|it| it.level).min().unwrap_or(Level::DEACTIVATE);
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active;
        self.lowest.store(lowest.0, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

impl LogHandlers {
    /// The tracing layer that feeds these handlers.
    pub fn layer(&self) -> HandlerLayer {
        HandlerLayer(self.switch.clone())
    }

    /// Whoever reads what is stored and applies it has the turn meanwhile, so that nothing older is applied after it.
    pub async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// What is active until it is known what is stored: what a new database holds.
    pub fn apply_default(&self) {
        let configuration = Json::parse(br#"{"level":10,"formatter":"simple","stream":"ext://sys.stdout"}"#);
        let handler = HandlerKind::Stream.as_str().to_owned();
        let stored = configuration.map(|configuration| StoredHandler { handler, configuration });
        self.apply(&stored.into_iter().collect::<Vec<_>>(), &Bounds::default());
    }

    /// Makes the active handlers those that are stored. Unchanged ones go on; a stored one that may not be made is
    /// told as failing. Never waits for a handler.
    pub fn apply(&self, stored: &[StoredHandler], bounds: &Bounds) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let same_bounds = current.bounds == *bounds;
        let mut before = std::mem::take(&mut current.made);
        let mut made = Vec::new();
        let mut new = Vec::new();
        let stays = |it: &Made, wanted: &StoredHandler| {
            it.stored == *wanted && (same_bounds || it.worker.kind == HandlerKind::Stream)
        };
        for wanted in stored {
            if let Some(at) = before.iter().position(|it| stays(it, wanted)) {
                made.push(before.swap_remove(at));
                continue;
            }
            let same_kind = before.iter().position(|it| it.stored.handler == wanted.handler);
            let predecessor = same_kind.map(|at| before.swap_remove(at));
            if let Some(worker) = start(wanted, bounds, predecessor.map(|it| it.worker.retire())) {
                new.push(Arc::new(added(wanted)));
                made.push(Made { stored: wanted.clone(), worker: Arc::new(worker) });
            }
        }
        current.bounds = bounds.clone();
        if new.is_empty() && before.is_empty() {
            current.made = made;
            return;
        }
        for record in new {
            made.iter().for_each(|it| it.worker.take(&record));
        }
        self.switch.exchange(made.iter().map(|it| it.worker.clone()).collect());
        for gone in before {
            gone.worker.retire();
        }
        current.made = made;
    }

    /// How the handler fares; `None` where none of this kind is active.
    pub fn status(&self, handler: &str) -> Option<HandlerStatus> {
        self.statuses().into_iter().find(|(name, _)| *name == handler).map(|(_, status)| status)
    }

    /// All active handlers, for whoever counts.
    pub fn statuses(&self) -> Vec<(&'static str, HandlerStatus)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.made.iter().map(|it| (it.worker.kind.as_str(), it.worker.status())).collect()
    }

    /// Lets all handlers write what they have, for at most `limit`. Nothing is logged afterwards.
    pub fn finish(&self, limit: Duration) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.switch.exchange(Vec::new());
        let deadline = Instant::now() + limit;
        let retired: Vec<_> = std::mem::take(&mut current.made).into_iter().map(|it| it.worker.retire()).collect();
        for worker in retired {
            worker.wait(deadline);
        }
    }
}

fn start(stored: &StoredHandler, bounds: &Bounds, predecessor: Option<Retired>) -> Option<Worker> {
    let kind = HandlerKind::named(&stored.handler)?;
    let configuration = Configuration::merged(kind, Some(&stored.configuration), None);
    let (level, sink): (Level, Box<dyn Sink>) = match configuration {
        Ok(configuration) => {
            let level = if configuration.is_idle() { Level::DEACTIVATE } else { configuration.level };
            (level, sink(&configuration, bounds, TimeZone::system()))
        }
        Err(reason) => (Level::NOTSET, Box::new(Impossible(reason))),
    };
    match Worker::start(kind, level, sink, predecessor) {
        Ok(worker) => Some(worker),
        Err(error) => {
            tracing::error!(handler = kind.as_str(), %error, "failed to start a log handler");
            None
        }
    }
}

/// The line with which every handler of the reference begins.
fn added(handler: &StoredHandler) -> Record {
    let extras = match &handler.configuration {
        Json::Object(members) => members.clone(),
        _ => Vec::new(),
    };
    // `filename` is taken in Python's records.
    let named = |(key, value): (String, Json)| {
        if key == "filename" { ("filename_extra".to_owned(), value) } else { (key, value) }
    };
    let message = format!("Logging handler added ({})", handler.handler);
    let place = (file!(), line!(), module_path!());
    Record::new(Timestamp::now(), Level::DEBUG, place, &message, extras.into_iter().map(named))
}

/// Whether a handler could work here and now: folder and file, mail addresses, targets. Asks disk and resolver.
pub fn try_out(configuration: &Configuration, bounds: &Bounds) -> Result<(), String> {
    match &configuration.destination {
        Destination::Stdout | Destination::Stderr => Ok(()),
        Destination::File { filename, .. } => {
            bounds.file(filename)?;
            sink(configuration, bounds, TimeZone::system()).open().map_err(|error| error.to_string())
        }
        Destination::Smtp(mail) => super::sinks::check_mail(mail, bounds),
        Destination::Syslog { host, port, .. } => match bounds.names(host, *port) {
            true => Ok(()),
            false => bounds.addresses(host, *port).map(|_| ()),
        },
    }
}

/// The same without making anything: a file that is not there yet is not made.
pub fn look_at(configuration: &Configuration, bounds: &Bounds) -> Result<(), String> {
    match &configuration.destination {
        Destination::File { filename, .. } => super::sinks::check_file(filename, bounds),
        _ => try_out(configuration, bounds),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::log_handlers::sinks::SinkError;

    /// Says which records it was given, once it may.
    struct Gate {
        may_go_on: Receiver<()>,
        written: Sender<String>,
    }

    impl Sink for Gate {
        fn open(&mut self) -> Result<(), SinkError> {
            Ok(())
        }

        fn write(&mut self, record: &Record) -> Result<(), SinkError> {
            let _ = self.may_go_on.recv();
            self.written.send(record.message().to_owned()).unwrap();
            Ok(())
        }
    }

    fn record(level: Level, message: &str) -> Record {
        Record::new(Timestamp::now(), level, ("f", 1, "m"), message, [])
    }

    #[test]
    fn a_handler_that_hangs_drops_with_a_count_and_holds_up_nobody() {
        let ((_open, gate), (hung, _), (written, lines)) = (channel(), channel(), channel());
        let healthy = {
            let (all_open, gate) = channel();
            drop(all_open);
            Gate { may_go_on: gate, written }
        };
        let hanging = Gate { may_go_on: gate, written: hung };
        let start = |kind, sink: Gate| Arc::new(Worker::start(kind, Level::INFO, Box::new(sink), None).unwrap());
        let (healthy, hanging) = (start(HandlerKind::File, healthy), start(HandlerKind::Smtp, hanging));
        let switch = Switch::default();
        switch.exchange(vec![hanging.clone(), healthy.clone()]);
        assert_eq!(switch.lowest(), Level::INFO);
        for number in 0..1000 {
            switch.publish(record(Level::INFO, &number.to_string()));
            switch.publish(record(Level::DEBUG, "not wanted"));
        }
        let numbers: Vec<_> = lines.iter().take(1000).collect();
        assert_eq!(numbers, (0..1000).map(|it| it.to_string()).collect::<Vec<_>>());
        assert_eq!(healthy.status(), HandlerStatus::default());
        // 256 wait, and one may be in its hands.
        let dropped = hanging.status().dropped;
        assert!((743..=744).contains(&dropped), "{dropped}");
    }

    #[test]
    fn unchanged_handlers_go_on_and_changed_ones_write_what_they_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.log");
        let stored = |level: u8| {
            let text = format!(
                r#"{{"formatter":"simple","level":{level},"filename":"{}","when":"midnight","backupCount":7}}"#,
                path.display()
            );
            StoredHandler { handler: "file".to_owned(), configuration: Json::parse(text.as_bytes()).unwrap() }
        };
        let bounds = Bounds { directories: vec![folder.path().to_owned()], ..Bounds::default() };
        let handlers = LogHandlers::default();
        handlers.apply(&[stored(20)], &bounds);
        let worker = |handlers: &LogHandlers| handlers.current.lock().unwrap().made[0].worker.clone();
        let first = worker(&handlers);
        handlers.apply(&[stored(20)], &bounds);
        assert!(Arc::ptr_eq(&first, &worker(&handlers)));
        drop(first);
        for number in 0..2000 {
            handlers.switch.publish(record(Level::INFO, &format!("a{number}")));
        }
        handlers.apply(&[stored(30)], &bounds);
        handlers.switch.publish(record(Level::INFO, "too slight now"));
        handlers.switch.publish(record(Level::WARNING, "b"));
        handlers.finish(Duration::from_secs(30));
        let text = std::fs::read_to_string(path).unwrap();
        let messages: Vec<_> = text.lines().map(|it| it.rsplit(' ').next().unwrap()).collect();
        let expected = (0..2000).map(|number| format!("a{number}")).chain(["b".to_owned()]);
        assert_eq!(messages, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_handler_that_is_taken_away_gives_up_what_it_cannot_write() {
        struct Broken;
        impl Sink for Broken {
            fn open(&mut self) -> Result<(), SinkError> {
                Err(SinkError::Broken("no way".to_owned()))
            }
            fn write(&mut self, _: &Record) -> Result<(), SinkError> {
                self.open()
            }
        }
        let worker = Arc::new(Worker::start(HandlerKind::Syslog, Level::INFO, Box::new(Broken), None).unwrap());
        for _ in 0..100 {
            worker.take(&Arc::new(record(Level::INFO, "lost")));
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        worker.clone().retire().wait(deadline);
        assert!(Instant::now() < deadline);
        assert_eq!(worker.status(), HandlerStatus { failing: Some("no way".to_owned()), dropped: 100 });
    }
}
