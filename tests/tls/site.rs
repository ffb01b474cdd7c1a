//! A K8s Manager that serves HTTPS, with its files as a mounted Secret has them: a link to a folder that is exchanged.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::client::{Connection, trusting};
use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::certificates::{Authority, Pair};
use crate::support::wait::eventually;

pub struct Site {
    pub app: TestApp,
    pub authority: Authority,
    pub config: Arc<ClientConfig>,
    versions: usize,
}

/// The configuration that leads to the files.
pub fn with_tls(app: &TestApp, more: &Value) {
    let folder = app.path("tls");
    app.edit_config(|config| {
        config["tls"] = json!({"certificate": folder.join("tls.crt"), "key": folder.join("tls.key")});
        for (key, value) in more.as_object().unwrap() {
            config["tls"][key] = value.clone();
        }
    });
}

impl Site {
    pub async fn start() -> Self {
        Self::start_with(TestApp::builder(), json!({})).await
    }

    /// `more` goes into the section `tls`.
    pub async fn start_with(builder: TestAppBuilder, more: Value) -> Self {
        let mut site = Self::prepare(builder, more).await;
        site.app.start_process().await;
        site
    }

    pub async fn prepare(builder: TestAppBuilder, more: Value) -> Self {
        let app = builder.prepare().await;
        let authority = Authority::new("the site's");
        let config = Arc::new(trusting(&authority.pem()));
        std::fs::create_dir(app.path("tls")).unwrap();
        with_tls(&app, &more);
        let mut site = Self { app, authority, config, versions: 0 };
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), site.app.path("tls").join(name)).unwrap();
        }
        let pair = site.authority.issue("first");
        site.exchange(&pair);
        site
    }

    /// As a kubelet does it: all files at once.
    pub fn exchange(&mut self, pair: &Pair) {
        self.versions += 1;
        let (mount, name) = (self.app.path("tls"), format!("..v{}", self.versions));
        std::fs::create_dir(mount.join(&name)).unwrap();
        std::fs::write(mount.join(&name).join("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(mount.join(&name).join("tls.key"), &pair.key).unwrap();
        symlink(&name, mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        if self.versions > 1 {
            std::fs::remove_dir_all(mount.join(format!("..v{}", self.versions - 1))).unwrap();
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.app.address()
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address(), &self.config).await.unwrap()
    }

    /// On a connection of its own, by a client that trusts whatever this site's authority issued.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.connect().await.get(path).await.unwrap()
    }

    /// New connections get this certificate.
    pub async fn shows(&self, pair: &Pair) {
        let expected = der(&pair.certificate);
        eventually("the certificate is shown", async || {
            // Without a session to take up, or the certificate would be that of the first time.
            let config = Arc::new(trusting(&self.authority.pem()));
            let shown = Connection::open(self.address(), &config).await.unwrap().certificate();
            (shown == expected).then_some(())
        })
        .await;
    }

    /// What `/readyz?verbose` says of TLS.
    pub async fn says(&self, expected: &str) -> String {
        eventually(expected, async || {
            let (status, text) = self.get("/readyz?verbose").await;
            assert!(!text.contains(self.app.path("").to_str().unwrap()), "{text}");
            (status == 200 && text.lines().any(|it| it.starts_with(expected))).then_some(text)
        })
        .await
    }

    pub async fn end(self) {
        self.app.end().await;
    }
}

pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

pub fn write(folder: &Path, pair: &Pair) {
    std::fs::write(folder.join("tls.crt"), &pair.certificate).unwrap();
    std::fs::write(folder.join("tls.key"), &pair.key).unwrap();
}

/// What a counter says on the page of metrics. All tests of a process count together.
pub fn counted(page: &str, name: &str) -> usize {
    let value = page.lines().find_map(|it| it.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {page}"));
    value.trim().parse().unwrap()
}
