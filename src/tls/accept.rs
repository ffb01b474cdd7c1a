//! The handshake, with a bound on its time. Each is in its connection's own task, so that nobody waits for another.

use std::io;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use metrics::counter;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServerTls;

/// How long a client may take, from its connection to the end of the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How every handshake begins.
const HANDSHAKE_RECORD: u8 = 22;
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 46\r\n\
    Connection: close\r\n\r\nThis port speaks TLS: use https:// in the URL\n";
/// Of what a client without TLS sends, so much is read before the connection is closed, or it would not see our answer.
const MOST_DISCARDED: u64 = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);
/// Between lines about clients that failed: whoever sends thousands fills no disk. All are counted.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

impl ServerTls {
    /// `None` where there is nobody to talk to, which was counted and logged.
    pub async fn accept(&self, stream: TcpStream, peer: SocketAddr) -> Option<Box<TlsStream<TcpStream>>> {
        let handshake = timeout(HANDSHAKE_TIME, self.handshake(stream)).await;
        let (outcome, stream) = match handshake {
            Ok(Ok(Shaken::Hands(stream))) => {
                let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                (if is_resumed { "resumed" } else { "full" }, Some(stream))
            }
            // As probes and load balancers do.
            Ok(Ok(Shaken::Nothing)) => return None,
            Ok(Ok(Shaken::NotTls)) => {
                if self.may_tell() {
                    tracing::info!(%peer, "a client without TLS was turned away");
                }
                ("not_tls", None)
            }
            Ok(Err(error)) => {
                if self.may_tell() {
                    tracing::info!(%peer, %error, "a TLS handshake failed");
                }
                ("failed", None)
            }
            Err(_) => ("timed_out", None),
        };
        counter!("k8smgr_tls_handshakes_total", "outcome" => outcome).increment(1);
        stream
    }

    fn may_tell(&self) -> bool {
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|it| it.elapsed() >= BETWEEN_LINES);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<Shaken> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(Shaken::Nothing);
        }
        if first != [HANDSHAKE_RECORD] {
            turn_away(stream).await;
            return Ok(Shaken::NotTls);
        }
        let accepted = TlsAcceptor::from(self.current()).accept(stream).await?;
        Ok(Shaken::Hands(Box::new(accepted)))
    }
}

enum Shaken {
    Hands(Box<TlsStream<TcpStream>>),
    Nothing,
    NotTls,
}

async fn turn_away(mut stream: TcpStream) {
    let said = async {
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST_DISCARDED), &mut tokio::io::sink()).await
    };
    // Whoever does not listen any more has what it needs.
    let _ = timeout(DISCARD_TIME, said).await;
}
