//! What is wrong with the files is refused at the start with what to do, and found by `k8smgr check` before.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use k8smgr::config::ClientCertificates;
use k8smgr::tls::{ServerTls, TlsFiles};
use rcgen::KeyPair;
use serde_json::json;

use crate::site::{with_tls, write};
use crate::support::app::TestApp;
use crate::support::certificates::{Authority, Pair};
use crate::support::processes::Process;

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBO\n-----END ENCRYPTED PRIVATE KEY-----\n";

struct Mistake {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<String>,
    told: &'static [&'static str],
    code: &'static str,
}

fn mistake(
    certificate: impl Into<Vec<u8>>,
    key: impl Into<Vec<u8>>,
    told: &'static [&'static str],
    code: &'static str,
) -> Mistake {
    Mistake { certificate: certificate.into(), key: key.into(), client_ca: None, told, code }
}

#[rustfmt::skip]
fn mistakes() -> Vec<Mistake> {
    let authority = Authority::new("authority");
    let (good, other) = (authority.issue("good"), authority.issue("other"));
    let (chain, foreign) = (format!("{}{}", authority.pem(), good.certificate), format!("{}{}", good.certificate, Authority::new("foreign").pem()));
    let der = crate::site::der(&good.certificate).to_vec();
    let cut = &good.key[..good.key.len() / 2];
    let issue = |from, until| authority.issue_valid("x", from, until);
    let (old, young) = (issue(2019, 2020), issue(2090, 2095));
    let pair = |it: &Pair, told, code| mistake(it.certificate.as_str(), it.key.as_str(), told, code);
    let clients = |client_ca: String, told, code| Mistake { client_ca: Some(client_ca), ..pair(&good, told, code) };
    vec![
        pair(&old, &["TLS certificate", "tls.crt has expired, at 2020-01-01T00:00:00Z; renew it"], "tls-not-valid"),
        pair(&young, &["tls.crt is not valid before 2090-01-01T00:00:00Z; wait until then, or correct this machine's clock"], "tls-not-valid"),
        mistake(good.certificate.as_str(), other.key.as_str(), &["tls.crt does not belong to the TLS key; give the certificate that was issued for this key"], "tls-key-mismatch"),
        mistake(chain, good.key.as_str(), &["begins with a certificate that is not the key's: the key belongs to number 2 in it; put the server's own certificate first"], "tls-key-mismatch"),
        mistake(foreign, good.key.as_str(), &["tls.crt holds certificates of an authority that did not issue the first one"], "tls-authority"),
        mistake(good.certificate.as_str(), ENCRYPTED, &["the TLS key", "tls.key is encrypted with a passphrase", "openssl pkey"], "tls-file"),
        mistake("", good.key.as_str(), &["tls.crt is empty; give a file with blocks -----BEGIN CERTIFICATE-----"], "tls-file"),
        mistake(good.certificate.as_str(), " \n", &["tls.key is empty"], "tls-file"),
        mistake("what is this", good.key.as_str(), &["tls.crt is not in PEM"], "tls-file"),
        mistake(der, good.key.as_str(), &["tls.crt is in DER, not in PEM; convert it"], "tls-file"),
        mistake(good.certificate.as_str(), cut, &["tls.key is damaged: a PEM block is cut off"], "tls-file"),
        mistake(good.key.as_str(), good.certificate.as_str(), &["tls.crt holds a private key and no certificate; perhaps the paths"], "tls-file"),
        mistake(good.certificate.as_str(), good.certificate.as_str(), &["tls.key holds a certificate and no private key"], "tls-file"),
        clients(String::new(), &["the certificate authority of clients", "clients.crt is empty"], "tls-file"),
        clients(good.certificate.clone(), &["clients.crt holds a certificate, number 1, that is not one of a certificate authority"], "tls-authority"),
        clients(Authority::expired("gone").pem(), &["clients.crt has expired, at 2020-01-01T00:00:00Z"], "tls-not-valid"),
    ]
}

fn refusal(files: TlsFiles) -> String {
    match ServerTls::open(files) {
        Ok(_) => panic!("it was taken"),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    }
}

/// No line of the key, and no half of one.
fn assert_no_key(text: &str, key: &[u8]) {
    for line in String::from_utf8_lossy(key).lines().filter(|it| it.len() > 20 && !it.contains("-----")) {
        assert!(!text.contains(&line[..20]), "{text}");
    }
}

fn files(folder: &Path, has_client_ca: bool) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
        client_ca: has_client_ca.then(|| folder.join("clients.crt")),
        client_certificates: ClientCertificates::Optional,
    }
}

fn lay_out(folder: &Path, mistake: &Mistake) {
    std::fs::write(folder.join("tls.crt"), &mistake.certificate).unwrap();
    std::fs::write(folder.join("tls.key"), &mistake.key).unwrap();
    std::fs::set_permissions(folder.join("tls.key"), PermissionsExt::from_mode(0o400)).unwrap();
    if let Some(text) = &mistake.client_ca {
        std::fs::write(folder.join("clients.crt"), text).unwrap();
    }
}

#[test]
fn every_mistake_is_refused_and_found_beforehand() {
    for mistake in mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        lay_out(folder, &mistake);
        let told = refusal(files(folder, mistake.client_ca.is_some()));
        for part in mistake.told {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains(folder.to_str().unwrap()), "{told}");
        assert_no_key(&told, &mistake.key);

        let found = check(folder, mistake.client_ca.is_some());
        assert!(found.contains(&format!("\"{}\"", mistake.code)), "{}: {found}", mistake.code);
        assert!(found.contains(mistake.told.last().unwrap()), "{found}");
        assert_no_key(&found, &mistake.key);
    }
}

/// What `k8smgr check` finds, as JSON.
fn check(folder: &Path, has_client_ca: bool) -> String {
    std::fs::create_dir_all(folder.join("descriptions")).unwrap();
    let mut tls = json!({"certificate": folder.join("tls.crt"), "key": folder.join("tls.key")});
    if has_client_ca {
        tls["client_ca"] = json!(folder.join("clients.crt"));
    }
    let config = json!({"tls": tls, "services": {"descriptions": folder.join("descriptions")}});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_k8smgr"))
        .args(["check", "--format", "json", "--config"])
        .arg(folder.join("config.json"))
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn a_missing_file_and_keys_that_are_too_weak_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let told = refusal(files(folder.path(), false));
    assert!(told.contains("failed to read the TLS certificate") && told.contains("No such file"), "{told}");
    assert!(told.contains("readable for the user that K8s Manager runs as"), "{told}");
    let authority = Authority::new("authority");
    let odd = authority.issue_for("odd", KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), |_| {});
    write(folder.path(), &odd);
    ServerTls::open(files(folder.path(), false)).map(|_| ()).unwrap();
    let ed25519 = authority.issue_for("new", KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), |_| {});
    write(folder.path(), &ed25519);
    ServerTls::open(files(folder.path(), false)).map(|_| ()).unwrap();
}

#[test]
fn a_chain_is_taken_in_any_order_after_the_server_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let pair = authority.issue("own");
    let pair = Pair { certificate: format!("{}{}", pair.certificate, authority.pem()), ..pair };
    write(folder.path(), &pair);
    ServerTls::open(files(folder.path(), false)).map(|_| ()).unwrap();
}

#[test]
fn check_warns_of_an_end_within_a_month_and_of_a_key_that_all_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let soon = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().checked_add(jiff::Span::new().days(20));
    let soon = soon.unwrap();
    let pair = Authority::new("authority").issue_with("soon", |it| {
        it.not_before = rcgen::date_time_ymd(2025, 1, 1);
        it.not_after =
            rcgen::date_time_ymd(i32::from(soon.year()), soon.month().unsigned_abs(), soon.day().unsigned_abs());
    });
    write(folder, &pair);
    std::fs::set_permissions(folder.join("tls.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let found = check(folder, false);
    assert!(found.contains("\"tls-ends-soon\"") && found.contains("a certificate of the server ends at "), "{found}");
    assert!(found.contains("\"tls-key-permissions\"") && found.contains("has the mode 0644"), "{found}");
    std::fs::set_permissions(folder.join("tls.key"), PermissionsExt::from_mode(0o440)).unwrap();
    write(folder, &Authority::new("authority").issue("long"));
    let found = check(folder, false);
    assert!(!found.contains("tls-"), "{found}");
}

/// The process itself, as an operator sees it.
#[tokio::test]
async fn serve_ends_with_the_reason() {
    let app = TestApp::builder().prepare().await;
    let folder = app.path("tls");
    std::fs::create_dir(&folder).unwrap();
    with_tls(&app, &json!({}));
    let authority = Authority::new("authority");
    let pair = Pair { key: authority.issue("other").key, ..authority.issue("own") };
    write(&folder, &pair);
    let mut process = Process::serve(&app, &app.database_url().to_string(), "127.0.0.1:0");
    assert_eq!(process.ended().await.code(), Some(1));
    let told = process.output();
    assert!(told.contains("tls/tls.crt does not belong to the TLS key; give the certificate"), "{told}");
    assert_no_key(&told, pair.key.as_bytes());
    app.end().await;
}
