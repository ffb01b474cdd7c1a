//! Files that change: under load, one after the other, and for the worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::client::{Keeping, trusting};
use crate::site::{Site, counted, der};
use crate::support::app::{JUPYTERHUB, TestApp, basic};
use crate::support::certificates::{Authority, Pair};
use crate::support::wait::{eventually, eventually_within};

const EXCHANGES: usize = 30;
const CLIENTS_OF_A_KIND: usize = 4;
const FEWEST_REQUESTS: usize = 3000;
/// A slow machine takes its time for them.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_while_the_files_are_exchanged_under_load() {
    let mut site = Site::start().await;
    let body = crate::support::app::start_body("JupyterLab/Run", "s1");
    start_over_tls(&site, "lab", &body.to_string()).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let mut clients = Vec::new();
    for number in 0..2 * CLIENTS_OF_A_KIND {
        let (is_over, counts, address) = (is_over.clone(), counts.clone(), site.address());
        let authority = site.authority.pem();
        // One kind keeps its connection, the other opens a new one for each poll, as hubs do.
        let kind = number % 2;
        clients.push(tokio::spawn(async move {
            let mut client = Keeping::new(trusting(&authority));
            while !is_over.load(Ordering::SeqCst) {
                if kind == 1 {
                    client = Keeping::new(trusting(&authority));
                }
                let (status, body) = client.get(address, "/api/services/lab/", &basic(JUPYTERHUB)).await?;
                if status != 200 || !body.contains("\"running\":true") {
                    return Err(format!("{status} {body}"));
                }
                counts[kind].fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, String>(())
        }));
    }
    let mut oldest = site.connect().await;
    let first = oldest.certificate();
    for number in 0..EXCHANGES {
        let next = site.authority.issue(&format!("number {number}"));
        site.exchange(&next);
        site.shows(&next).await;
        // A connection from before all of it goes on.
        assert_eq!(oldest.get("/api/health/").await.unwrap().0, 200);
    }
    eventually_within(PATIENCE, "there were many requests", async || {
        let all = counts.iter().map(|it| it.load(Ordering::SeqCst)).sum::<usize>();
        (all >= FEWEST_REQUESTS || clients.iter().any(|it| it.is_finished())).then_some(())
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap().expect("no request fails");
    }
    assert_eq!(oldest.certificate(), first);
    let [kept, new] = [0, 1].map(|kind| counts[kind].load(Ordering::SeqCst));
    println!("{kept} requests on kept connections and {new} on new ones, {EXCHANGES} exchanges, none failed");
    let page = site.get("/metrics").await.1;
    assert!(counted(&page, "k8smgr_tls_reloads_total{outcome=\"changed\"}") >= EXCHANGES, "{page}");
    site.end().await;
}

async fn start_over_tls(site: &Site, name: &str, body: &str) {
    let ca = site.app.path("ca.crt");
    std::fs::write(&ca, site.authority.pem()).unwrap();
    let mut command = std::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--user", JUPYTERHUB, "--cacert", ca.to_str().unwrap()]);
    command.args(["-H", &format!("uuidcode: {name}"), "-H", "Content-Type: application/json", "--data", body]);
    command.arg(format!("https://localhost:{}/api/services/", site.address().port()));
    let started = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(started.status.success(), "{started:?}");
}

#[tokio::test]
async fn a_session_is_taken_up_across_a_renewal() {
    let mut site = Site::start().await;
    // Tickets come with an answer.
    let mut first = site.connect().await;
    first.get("/api/health/").await.unwrap();
    assert!(!first.is_resumed());
    let next = site.authority.issue("next");
    site.exchange(&next);
    site.shows(&next).await;
    assert!(site.connect().await.is_resumed());
    site.end().await;
}

/// Files in place, as a person or certbot writes them: certificate first, the key some time later, or the other way round.
#[tokio::test]
async fn certificate_and_key_replaced_one_after_the_other_are_taken_once_they_match() {
    let mut site = Site::start().await;
    let mut in_force = site.authority.issue("in force");
    site.exchange(&in_force);
    site.shows(&in_force).await;
    for names in [["tls.crt", "tls.key"], ["tls.key", "tls.crt"]] {
        let next = site.authority.issue("next");
        let write = |name: &str| {
            let text = if name == "tls.crt" { &next.certificate } else { &next.key };
            std::fs::write(site.app.path("tls").join(name), text).unwrap();
        };
        write(names[0]);
        let told = site.says("[!]tls failed: since ").await;
        assert!(told.contains(", the TLS certificate does not belong to the TLS key; the one in use stays"), "{told}");
        site.shows(&in_force).await;
        write(names[1]);
        site.shows(&next).await;
        site.says("[+]tls ok").await;
        in_force = next;
    }
    site.end().await;
}

#[tokio::test]
async fn bad_files_are_kept_out_and_told() {
    let builder = TestApp::builder();
    let mut site = Site::start_with(builder, json!({})).await;
    let good = site.authority.issue("good");
    site.exchange(&good);
    site.shows(&good).await;
    let (other, garbage) = (Authority::new("another"), "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let foreign = Pair { certificate: format!("{}{}", good.certificate, other.pem()), key: good.key.clone() };
    let bad = |certificate: &str, key: &str| Pair { certificate: certificate.to_owned(), key: key.to_owned() };
    let mistakes = [
        (site.authority.issue_valid("old", 2019, 2020), "the TLS certificate has expired, at 2020-01-01T00:00:00Z"),
        (
            site.authority.issue_valid("young", 2090, 2095),
            "the TLS certificate is not valid before 2090-01-01T00:00:00Z",
        ),
        (bad(&good.certificate, &site.authority.issue("x").key), "the TLS certificate does not belong to the TLS key"),
        (bad(garbage, &good.key), "the TLS certificate is damaged"),
        (bad("", &good.key), "the TLS certificate is empty"),
        (bad(&good.certificate, "\n"), "the TLS key is empty"),
        (foreign, "the TLS certificate holds certificates of an authority that did not issue the first one"),
    ];
    for (mistake, expected) in mistakes {
        site.exchange(&mistake);
        let told = eventually(expected, async || {
            let (status, text) = site.get("/readyz?verbose").await;
            (status == 200 && text.contains(expected)).then_some(text)
        })
        .await;
        assert!(told.contains("the one in use stays, valid until "), "{told}");
        assert_eq!(site.connect().await.certificate(), der(&good.certificate));
    }
    std::fs::remove_file(site.app.path("tls/..data")).unwrap();
    let told = site.says("[!]tls failed: since ").await;
    assert!(told.contains("[!]tls failed: since "), "{told}");
    let last = site.authority.issue("last");
    site.exchange(&last);
    site.shows(&last).await;
    site.says("[+]tls ok").await;
    site.end().await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_before_it_ends() {
    let mut site = Site::start().await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let ending = site.authority.issue_with("ending", |it| {
        it.not_before = day(now.checked_sub(jiff::Span::new().days(80)).unwrap());
        it.not_after = day(now.checked_add(jiff::Span::new().days(7)).unwrap());
    });
    site.exchange(&ending);
    let told = site.says("[!]tls failed: since ").await;
    assert!(told.contains("the certificate ends soon, at "), "{told}");
    site.shows(&ending).await;
    site.end().await;
}
