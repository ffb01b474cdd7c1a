//! A hub's side of what we tell hubs: takes requests on a real socket, with or without TLS, keeps them, answers as ordered,
//! and may be away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::wait::eventually;

/// Between looks whether a request is still held.
const HELD_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Told {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    is_away: bool,
    /// Connections that were dropped while it was away.
    missed: usize,
    /// By the beginning of the path; the first that fits. With a body.
    answers: Vec<(String, u16, String)>,
    /// Beginnings of paths whose requests are taken and not answered.
    held: Vec<String>,
    /// Requests that are held at the moment, and the most that ever were.
    waiting: (usize, usize),
}

#[derive(Clone)]
pub struct HubReceiver {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl HubReceiver {
    pub async fn start() -> Self {
        Self::serve("http", None).await
    }

    /// With a certificate for `localhost` and 127.0.0.1.
    pub async fn with_tls(authority: &Authority) -> Self {
        Self::serve("https", Some(TlsAcceptor::from(Arc::new(authority.server_config())))).await
    }

    async fn serve(scheme: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let hub = Self { address, scheme, state: state.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if std::mem::take(&mut state.lock().unwrap().is_away) {
                    let mut state = state.lock().unwrap();
                    state.is_away = true;
                    state.missed += 1;
                    continue;
                }
                let (state, tls) = (state.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => take(stream, &state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                take(stream, &state).await;
                            }
                        }
                    }
                });
            }
        });
        hub
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Connections are dropped from now on, or taken again.
    pub fn be_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    /// How many connections were dropped.
    pub fn missed(&self) -> usize {
        self.state.lock().unwrap().missed
    }

    /// What requests to paths that begin so are answered: 204 where nothing was ordered.
    pub fn answer(&self, path: &str, status: u16) {
        self.answer_with(path, status, "");
    }

    pub fn answer_with(&self, path: &str, status: u16, body: &str) {
        self.state.lock().unwrap().answers.insert(0, (path.to_owned(), status, body.to_owned()));
    }

    /// Requests to paths that begin so are taken and not answered until they are released.
    pub fn hold(&self, path: &str) {
        self.state.lock().unwrap().held.push(path.to_owned());
    }

    pub fn release(&self) {
        self.state.lock().unwrap().held.clear();
    }

    /// The most requests that were held at a time.
    pub fn held_at_once(&self) -> usize {
        self.state.lock().unwrap().waiting.1
    }

    pub fn told(&self) -> Vec<Told> {
        self.state.lock().unwrap().told.clone()
    }

    pub fn told_at(&self, path: &str) -> Vec<Told> {
        self.told().into_iter().filter(|it| it.path == path).collect()
    }

    /// Waits until so many requests came.
    pub async fn has(&self, count: usize) -> Vec<Told> {
        eventually(&format!("{count} requests to the hub"), async || {
            let told = self.told();
            (told.len() >= count).then_some(told)
        })
        .await
    }
}

async fn take(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let Some(told) = read(&mut stream).await else { return };
    let is_held = || state.lock().unwrap().held.iter().any(|it| told.path.starts_with(it));
    let was_held = is_held();
    let (status, body) = {
        let mut state = state.lock().unwrap();
        let ordered =
            state.answers.iter().find(|(path, ..)| told.path.starts_with(path)).map(|it| (it.1, it.2.clone()));
        state.told.push(told.clone());
        if was_held {
            let waiting = state.waiting.0 + 1;
            state.waiting = (waiting, state.waiting.1.max(waiting));
        }
        ordered.unwrap_or((204, String::new()))
    };
    while is_held() {
        tokio::time::sleep(HELD_PAUSE).await;
    }
    if was_held {
        state.lock().unwrap().waiting.0 -= 1;
    }
    // A redirect leads back here, to a path that nobody should come to.
    let location = if (300..400).contains(&status) { "Location: /redirected/\r\n" } else { "" };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} Ordered\r\n{location}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Told> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|it| it.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    };
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Some(Told { method, path, headers: lines.filter_map(header).collect(), body })
}

/// A certificate authority of its own, in a file, and a server's certificate of it.
pub struct Authority {
    pub file: PathBuf,
    certificate: String,
    key: String,
}

impl Authority {
    pub fn make(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&key).unwrap();
        let issuer = Issuer::new(parameters, key);
        let server_key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, authority.pem()).unwrap();
        Self { file, certificate: server.pem(), key: server_key.serialize_pem() }
    }

    fn server_config(&self) -> ServerConfig {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
    }
}
