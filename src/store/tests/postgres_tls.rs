//! `sslmode` against a server that takes a password, and that over TLS only.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::ports::ReservedPort;
use super::postgres_server::PostgresServer;
use super::*;

/// An authority, and a certificate for `localhost` from it.
struct Certificates {
    authority: String,
    server: String,
    server_key: String,
}

impl Certificates {
    fn new() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(params, authority_key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        Self { authority, server: server.pem(), server_key: server_key.serialize_pem() }
    }

    fn install(&self, data: &Path) {
        let owner = std::fs::metadata(data).unwrap();
        for (name, text) in [("server.crt", &self.server), ("server.key", &self.server_key)] {
            let path = data.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let append = |name: &str, text: &str| {
            let path = data.join(name);
            let before = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, before + text).unwrap();
        };
        append("postgresql.conf", "ssl = on\npassword_encryption = 'scram-sha-256'\n");
        std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
            .unwrap();
    }
}

/// The whole error as it is printed, or nothing.
async fn error_of(url: &str) -> String {
    match Store::connect(&url.parse().unwrap()).await {
        Ok(store) => store.ping().await.map(|()| String::new()).unwrap(),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    }
}

#[tokio::test]
async fn sslmode_is_what_libpq_means_by_it() {
    let certificates = Certificates::new();
    let reserved = ReservedPort::take();
    let port = reserved.number();
    let server = PostgresServer::start_with(Some(reserved), |data| certificates.install(data)).await;
    server.execute("CREATE ROLE app LOGIN PASSWORD 's3cret-pw'").await;
    server.execute("CREATE DATABASE app OWNER app").await;

    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (folder.path().join("ours.pem"), folder.path().join("other.pem"));
    std::fs::write(&ours, &certificates.authority).unwrap();
    std::fs::write(&other, Certificates::new().authority).unwrap();
    let (ours, other) = (ours.display(), other.display());
    let url =
        |password: &str, host: &str, options: &str| format!("postgres://app:{password}@{host}:{port}/app?{options}");

    for good in [
        "".to_owned(),
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=require&sslrootcert={ours}"),
        format!("sslmode=verify-full&sslrootcert={ours}"),
    ] {
        assert_eq!(error_of(&url("s3cret-pw", "localhost", &good)).await, "", "{good}");
    }
    for (host, password, options, reason) in [
        ("localhost", "s3cret-pw", "sslmode=disable".to_owned(), "no encryption"),
        ("localhost", "s3cret-pw", "sslmode=verify-full".to_owned(), "invalid peer certificate: UnknownIssuer"),
        ("localhost", "s3cret-pw", format!("sslmode=verify-full&sslrootcert={other}"), "invalid peer certificate"),
        ("localhost", "s3cret-pw", format!("sslmode=require&sslrootcert={other}"), "invalid peer certificate"),
        ("127.0.0.1", "s3cret-pw", format!("sslmode=verify-full&sslrootcert={ours}"), "not valid for name"),
        (
            "localhost",
            "s3cret-pw",
            "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(),
            "failed to read the certificate authorities in /nowhere.pem",
        ),
        ("localhost", "wr0ng-pw", String::new(), "password authentication failed for user \"app\""),
    ] {
        let error = error_of(&url(password, host, &options)).await;
        assert!(error.contains(reason), "{options}: {error}");
        let opening = match options.contains("nowhere") {
            true => "failed to open the database",
            false => "the database server refuses",
        };
        assert!(error.starts_with(&format!("{opening} postgres://app:***@{host}")), "{error}");
        assert!(!error.contains(password), "{error}");
    }
}
