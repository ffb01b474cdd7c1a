//! Container logs: one file a start, a line with its time each, turned over at a size, read back as the API asks.
//!
//! The format is that of the container runtimes: `<time> stdout F <text>`, with `P` for a part of a longer line.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use tokio::fs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::sync::watch;

use super::log_lines::{self, Filter};
use crate::kubelet::{LogQuery, LogStream};

/// A kubelet's `containerLogMaxSize`. The file before the current one is kept.
const LIMIT_BYTES: u64 = 10 * 1024 * 1024;
/// Longer lines are written in parts, as container runtimes do it.
const PART_BYTES: usize = 16 * 1024;

/// How far a log has got: whoever follows waits for a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How often the file was turned over.
    pub turn: u64,
    /// Bytes in the current file.
    pub bytes: u64,
    pub ended: bool,
}

/// The log of one start of one container.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    limit_bytes: u64,
    progress: watch::Sender<Progress>,
}

impl Log {
    pub fn new(path: PathBuf) -> Arc<Self> {
        Self::with_limit(path, LIMIT_BYTES)
    }

    fn with_limit(path: PathBuf, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { path, limit_bytes, progress: watch::Sender::new(Progress::default()) })
    }

    /// The log of a container that ended before this process began.
    pub fn ended(path: PathBuf) -> Arc<Self> {
        let log = Self::new(path);
        log.end();
        log
    }

    fn end(&self) {
        self.progress.send_modify(|it| it.ended = true);
    }

    /// Writes all that comes, until the container is gone.
    pub async fn write(self: Arc<Self>, output: impl AsyncRead + Unpin) -> io::Result<()> {
        let result = self.write_all(output).await;
        self.end();
        result
    }

    async fn write_all(&self, output: impl AsyncRead + Unpin) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut file = fs::File::create(&self.path).await?;
        let mut output = BufReader::new(output);
        let mut chunk = vec![0; PART_BYTES];
        let mut line = Vec::new();
        loop {
            let read = output.read(&mut chunk).await?;
            let mut text = Vec::new();
            for piece in chunk[..read].split_inclusive(|it| *it == b'\n') {
                line.extend_from_slice(piece);
                let whole = line.ends_with(b"\n");
                if whole || line.len() >= PART_BYTES {
                    log_lines::encode(&mut text, &line, jiff::Timestamp::now());
                    line.clear();
                }
            }
            if read == 0 && !line.is_empty() {
                log_lines::encode(&mut text, &line, jiff::Timestamp::now());
            }
            if !text.is_empty() {
                if self.progress.borrow().bytes >= self.limit_bytes {
                    file = self.turn().await?;
                }
                file.write_all(&text).await?;
                file.flush().await?;
                self.progress.send_modify(|it| it.bytes += text.len() as u64);
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    async fn turn(&self) -> io::Result<fs::File> {
        fs::rename(&self.path, self.before()).await?;
        let file = fs::File::create(&self.path).await?;
        self.progress.send_modify(|it| *it = Progress { turn: it.turn + 1, bytes: 0, ended: false });
        Ok(file)
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }

    /// What the API asked for, and with `follow` what comes until the container ends.
    pub async fn read(self: &Arc<Self>, query: &LogQuery) -> io::Result<LogStream> {
        let start = *self.progress.borrow();
        let mut bytes = read_or_empty(&self.before()).await?;
        let mut current = read_or_empty(&self.path).await?;
        // Never half a line: what is written meanwhile belongs to the part that follows.
        if start.turn == self.progress.borrow().turn && !start.ended {
            current.truncate(usize::try_from(start.bytes).unwrap_or(usize::MAX));
        }
        bytes.extend(current);
        let mut filter = Filter::new(query, jiff::Timestamp::now());
        let first = filter.first(&bytes);
        let first = stream::iter((!first.is_empty()).then(|| Bytes::from(first)));
        if !query.follow || start.ended {
            return Ok(first.boxed());
        }
        let rest = Follow { log: Arc::clone(self), filter, seen: start, watch: self.progress.subscribe() };
        Ok(first.chain(stream::unfold(rest, Follow::next)).boxed())
    }

    /// The end of the log, for a container's termination message.
    pub async fn tail(self: &Arc<Self>, lines: usize, bytes: usize) -> String {
        let query = LogQuery { tail_lines: Some(lines), ..LogQuery::default() };
        let Ok(pieces) = self.read(&query).await else { return String::new() };
        let text: Vec<u8> = pieces.collect::<Vec<_>>().await.concat();
        String::from_utf8_lossy(&text[text.len().saturating_sub(bytes)..]).into_owned()
    }
}

struct Follow {
    log: Arc<Log>,
    filter: Filter,
    seen: Progress,
    watch: watch::Receiver<Progress>,
}

impl Follow {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            let now = *self.watch.borrow_and_update();
            let mut fresh = Vec::new();
            if now.turn != self.seen.turn {
                fresh = read_from(&self.log.before(), self.seen.bytes).await.ok()?;
                self.seen = Progress { turn: now.turn, bytes: 0, ended: false };
            }
            if now.bytes > self.seen.bytes {
                let mut more = read_from(&self.log.path, self.seen.bytes).await.ok()?;
                more.truncate(usize::try_from(now.bytes - self.seen.bytes).unwrap_or(usize::MAX));
                self.seen.bytes = now.bytes;
                fresh.extend(more);
            }
            let text = self.filter.more(&fresh);
            if !text.is_empty() {
                return Some((Bytes::from(text), self));
            }
            if now.ended || self.filter.full() {
                return None;
            }
            self.watch.changed().await.ok()?;
        }
    }
}

async fn read_or_empty(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

async fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn text(log: &Arc<Log>, query: LogQuery) -> String {
        let pieces: Vec<Bytes> = log.read(&query).await.unwrap().collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read_back_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path().join("a/0.log"));
        Arc::clone(&log).write(&b"one\ntwo\nthree"[..]).await.unwrap();
        let query = LogQuery::default();
        assert_eq!(text(&log, query.clone()).await, "one\ntwo\nthree");
        assert_eq!(text(&log, LogQuery { tail_lines: Some(1), ..query.clone() }).await, "three");
        assert_eq!(text(&log, LogQuery { tail_lines: Some(0), ..query.clone() }).await, "");
        assert_eq!(text(&log, LogQuery { limit_bytes: Some(5), ..query.clone() }).await, "one\nt");
        let stamped = text(&log, LogQuery { timestamps: true, ..query }).await;
        assert!(stamped.lines().all(|line| line.split_once(' ').unwrap().0.parse::<jiff::Timestamp>().is_ok()));
        assert_eq!(log.tail(80, 8).await, "wo\nthree");
    }

    #[tokio::test]
    async fn a_follower_gets_what_comes_and_ends_with_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::with_limit(folder.path().join("0.log"), 64);
        let (mut writer, reader) = tokio::io::duplex(1024);
        let writing = tokio::spawn(Arc::clone(&log).write(reader));
        let mut follower = log.read(&LogQuery { follow: true, ..LogQuery::default() }).await.unwrap();
        let mut seen = String::new();
        for round in 0..20 {
            let line = format!("line {round}\n");
            writer.write_all(line.as_bytes()).await.unwrap();
            while !seen.ends_with(&line) {
                seen.push_str(std::str::from_utf8(&follower.next().await.unwrap()).unwrap());
            }
        }
        drop(writer);
        writing.await.unwrap().unwrap();
        assert_eq!(follower.next().await, None);
        assert_eq!(seen, (0..20).map(|it| format!("line {it}\n")).collect::<String>());
        assert!(log.before().exists(), "the file was turned over");
    }
}
