//! Which log of which container a query means, and where logs are kept.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::logs::Log;
use super::pod::PodWorker;
use super::records::State;
use crate::kubelet::{LogError, LogQuery, LogStream};

/// The logs of the current run and of the one before.
const KEPT: usize = 2;

impl PodWorker {
    pub fn log_folder(&self) -> PathBuf {
        self.node.config.data_dir.join("logs").join(&self.uid)
    }

    pub fn log_path(&self, container: &str, attempt: u32) -> PathBuf {
        self.log_folder().join(container).join(format!("{attempt}.log"))
    }

    /// Takes the log of a new run in and lets the oldest go.
    pub fn logging(&self, index: usize, attempt: u32, log: &Arc<Log>) {
        let name = self.record(index, |it| it.name.clone());
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = logs.entry(name.clone()).or_default();
        runs.push((attempt, Arc::clone(log)));
        if runs.len() > KEPT {
            runs.remove(0);
        }
        if let Some(old) = attempt.checked_sub(2) {
            let path = self.log_path(&name, old);
            tokio::spawn(async move {
                for path in [path.with_extension("log.1"), path] {
                    // Most were never turned over.
                    let _ = tokio::fs::remove_file(path).await;
                }
            });
        }
    }

    fn log_of(&self, container: &str, attempt: u32) -> Option<Arc<Log>> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = logs.get(container)?.iter().find(|it| it.0 == attempt)?;
        Some(Arc::clone(&known.1))
    }

    /// Answers a log call for this pod.
    pub async fn read_log(&self, query: &LogQuery) -> Result<LogStream, LogError> {
        let pod = self.name.clone();
        let only = || self.pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default().to_owned();
        let container = query.container.clone().unwrap_or_else(only);
        let Some(record) = self.find_record(&container) else {
            return Err(LogError::NoSuchContainer { container, pod });
        };
        let attempt = if query.previous { record.restart_count.checked_sub(1) } else { Some(record.restart_count) };
        let waiting = match &record.state {
            State::Waiting { reason, .. } if record.last.is_none() => Some(reason.clone()),
            _ => None,
        };
        if let Some(reason) = waiting.filter(|_| !query.previous) {
            return Err(LogError::WaitingToStart { container, pod, reason });
        }
        let Some(attempt) = attempt else { return Err(LogError::NoPrevious { container, pod }) };
        let log = match self.log_of(&container, attempt) {
            Some(log) => log,
            // Of before a restart of this node, or of a run that never began and wrote nothing.
            None => Log::ended(self.log_path(&container, attempt)),
        };
        Ok(log.read(query).await?)
    }
}
