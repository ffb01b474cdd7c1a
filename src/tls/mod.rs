//! TLS for whoever connects to us: certificate, key and the authority of clients from files, followed while we run; and
//! whom our own connections trust (`trust`).
//!
//! A pair of certificate and key is in force as a whole or not at all: what is on the disk is read, checked, and then
//! put in the place of the one before, for handshakes to come; open connections go on. What is bad is kept out and told.
//! Knows nothing of HTTP. No key, and nothing of one, is ever printed or logged.

mod accept;
mod certificate;
mod error;
mod files;
mod load;
mod status;
pub mod trust;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoClientAuth, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

pub use certificate::Validity;
pub use error::{Problem, Role, TlsError};
pub use files::TlsFiles;
pub use load::{Material, load};
pub use status::Status;

use crate::config::ClientCertificates;

/// Gets the client's protocols in order: we speak no other.
const PROTOCOL: &[u8] = b"http/1.1";

/// The server's side of TLS, as it is in force.
pub struct ServerTls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    /// Whoever has it reads the files; nothing older is put in force later.
    turn: Mutex<InForce>,
    /// Held for a moment only: probes ask.
    status: Mutex<Status>,
    /// When a client that failed was last told of.
    last_line: Mutex<Option<Instant>>,
}

/// What the configuration in force was made from.
struct InForce {
    identity: load::Identity,
    validity: Validity,
    tickets: Tickets,
}

/// Sessions are taken up again across a new certificate, so that a renewal does not make all clients pay for a full
/// handshake at once. Not across a change of who may connect: a session that is taken up shows no certificate.
struct Tickets {
    clients: load::Identity,
    producer: Arc<dyn ProducesTickets>,
}

impl Tickets {
    fn of(material: &Material) -> Result<Self, TlsError> {
        let producer = ring::Ticketer::new().map_err(TlsError::Setup)?;
        Ok(Self { clients: material.clients_identity, producer })
    }
}

impl ServerTls {
    /// At the start: anything that is wrong is an error. Blocks.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let material = load(&files, now())?;
        let tickets = Tickets::of(&material)?;
        let config = server_config(&material, &files, &tickets)?;
        let (identity, validity) = (material.identity, material.validity);
        let opened = Self {
            files,
            current: RwLock::new(config),
            turn: Mutex::new(InForce { identity, validity, tickets }),
            status: Mutex::new(Status::new(validity)),
            last_line: Mutex::default(),
        };
        opened.look();
        Ok(Arc::new(opened))
    }

    /// What new handshakes use.
    fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The files, to be watched.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.paths()
    }

    /// Looks at the files and puts what they hold in force, if it is good. Blocks.
    pub fn look(&self) {
        let now = now();
        let mut in_force = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = load(&self.files, now).and_then(|material| self.put_in_force(&mut in_force, &material));
        self.status.lock().unwrap_or_else(PoisonError::into_inner).note(outcome, in_force.validity, now);
    }

    /// Whether it was another than before.
    fn put_in_force(&self, in_force: &mut InForce, material: &Material) -> Result<bool, TlsError> {
        if material.identity == in_force.identity {
            return Ok(false);
        }
        if material.clients_identity != in_force.tickets.clients {
            in_force.tickets = Tickets::of(material)?;
        }
        let config = server_config(material, &self.files, &in_force.tickets)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        (in_force.identity, in_force.validity) = (material.identity, material.validity);
        Ok(true)
    }

    /// Since when and what is wrong, for whoever asks without a login: no paths.
    pub fn problem(&self) -> Option<(Option<jiff::Timestamp>, String)> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).problem(now())
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn server_config(material: &Material, files: &TlsFiles, tickets: &Tickets) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let clients = match &material.authorities {
        None => Arc::new(NoClientAuth),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
            let verifier = match files.client_certificates {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                ClientCertificates::Required => verifier,
            };
            verifier.build().map_err(|error| TlsError::Setup(rustls::Error::General(error.to_string())))?
        }
    };
    // TLS 1.2 and 1.3.
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Setup)?.with_client_cert_verifier(clients);
    let certified = SingleCertAndKey::from(material.certified_key.clone());
    let mut config = builder.with_cert_resolver(Arc::new(certified));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.ticketer = tickets.producer.clone();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
