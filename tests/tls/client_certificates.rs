//! Clients that show certificates, may, or must.

use std::sync::Arc;

use serde_json::json;

use crate::client::{Connection, client_config};
use crate::site::Site;
use crate::support::app::TestApp;
use crate::support::certificates::{Authority, Pair};
use crate::support::wait::eventually;

struct Clients {
    site: Site,
    authority: Authority,
}

impl Clients {
    async fn start(what: &'static str) -> Self {
        let builder = TestApp::builder().edit(|config| config["metrics"] = json!({"listen": "127.0.0.1:0"}));
        let mut site = Site::prepare(builder, json!({})).await;
        let (authority, file) = (Authority::new("of clients"), site.app.path("clients.crt"));
        std::fs::write(&file, authority.pem()).unwrap();
        crate::site::with_tls(&site.app, &json!({"client_ca": file, "client_certificates": what}));
        site.app.start_process().await;
        Self { site, authority }
    }

    /// The answer's status, with this certificate of the client's.
    async fn ask(&self, own: Option<&Pair>) -> std::io::Result<u16> {
        let config = Arc::new(client_config(&self.site.authority.pem(), own, rustls::ALL_VERSIONS));
        // With TLS 1.3 a client hears of a refusal when it reads.
        let mut connection = Connection::open(self.site.address(), &config).await?;
        Ok(connection.get("/api/health/").await?.0)
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_left_out_and_is_verified_where_it_is_shown() {
    let clients = Clients::start("optional").await;
    assert_eq!(clients.ask(None).await.unwrap(), 200);
    assert_eq!(clients.ask(Some(&clients.authority.issue("hub"))).await.unwrap(), 200);
    let stranger = Authority::new("a stranger's").issue("hub");
    assert!(clients.ask(Some(&stranger)).await.is_err());
    assert!(clients.ask(Some(&clients.authority.issue_valid("old", 2019, 2020))).await.is_err());
    // It is no login.
    let hub = clients.authority.issue("hub");
    let config = Arc::new(client_config(&clients.site.authority.pem(), Some(&hub), rustls::ALL_VERSIONS));
    let mut connection = Connection::open(clients.site.address(), &config).await.unwrap();
    assert_eq!(connection.get("/api/services/").await.unwrap().0, 401);
    clients.site.end().await;
}

#[tokio::test]
async fn a_required_certificate_must_be_shown_and_probes_go_elsewhere() {
    let clients = Clients::start("required").await;
    assert!(clients.ask(None).await.is_err());
    assert_eq!(clients.ask(Some(&clients.authority.issue("hub"))).await.unwrap(), 200);
    assert!(clients.ask(Some(&Authority::new("a stranger's").issue("hub"))).await.is_err());
    let operators = clients.site.app.app().operators_address().unwrap();
    assert_eq!(crate::support::wire::Request::get("/livez").send(operators).await.status, 200);
    clients.site.end().await;
}

/// A session from before must not get a client in whose authority is gone.
#[tokio::test]
async fn another_authority_of_clients_applies_at_once_to_all_new_connections() {
    let clients = Clients::start("required").await;
    let own = clients.authority.issue("hub");
    let config = Arc::new(client_config(&clients.site.authority.pem(), Some(&own), rustls::ALL_VERSIONS));
    let ask = async || {
        let mut connection = Connection::open(clients.site.address(), &config).await?;
        std::io::Result::Ok((connection.get("/api/health/").await?.0, connection.is_resumed()))
    };
    assert_eq!(ask().await.unwrap(), (200, false));
    assert_eq!(ask().await.unwrap(), (200, true));
    let next = Authority::new("the next");
    std::fs::write(clients.site.app.path("clients.crt"), next.pem()).unwrap();
    eventually("the old ones are refused", async || ask().await.is_err().then_some(())).await;
    assert!(ask().await.is_err());
    assert_eq!(clients.ask(Some(&next.issue("hub"))).await.unwrap(), 200);

    // One that is no authority is kept out.
    std::fs::write(clients.site.app.path("clients.crt"), &own.certificate).unwrap();
    let operators = clients.site.app.app().operators_address().unwrap();
    eventually("it is told", async || {
        let text = crate::support::wire::Request::get("/readyz?verbose").send(operators).await.body;
        text.contains("number 1, that is not one of a certificate authority; the one in use stays").then_some(())
    })
    .await;
    assert_eq!(clients.ask(Some(&next.issue("hub"))).await.unwrap(), 200);
    clients.site.end().await;
}
