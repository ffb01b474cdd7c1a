//! Requests as OutpostSpawner sends them become starts.

use std::sync::Arc;

use super::*;
use crate::flavors::Rules;

fn body(misc: &str, env: &str, user_options: &str) -> StartBody {
    let parse = |text: &str| Json::parse(text.as_bytes()).unwrap();
    StartBody {
        name: OutpostName::parse("lab").unwrap(),
        start_id: StartId::parse("s1").unwrap(),
        user_id: 7,
        env: parse(env),
        user_options: parse(user_options),
        flavor: None,
        misc: parse(misc),
        certificates: None,
        authentication: None,
    }
}

fn made(config: &str, body: StartBody, headers: &[(&str, &str)]) -> Result<StartRequest, String> {
    let config = Arc::new(Config::from_json(config, "x").unwrap().config);
    let chosen = Chosen::from_disk(config.clone());
    let place = Place {
        config: &config,
        rules: &Rules::default(),
        namespace: "space",
        choose: move |_: &Credential, _: &ServiceName| chosen,
    };
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    start_request(place, &Credential::parse("hub").unwrap(), body, &headers).map_err(|error| error.to_string())
}

fn outpost(misc: &str, env: &str) -> OutpostStart {
    made("{}", body(misc, env, r#"{"service": "A/B"}"#), &[]).unwrap().outpost.unwrap()
}

#[test]
fn the_description_is_the_users_the_profiles_or_the_default() {
    let config = r#"{"outpost": {"hub": {"default_service": "D/D", "profiles": {"gpu": "G/G"}}}}"#;
    for (options, expected) in [
        (r#"{"service": "A/B", "profile": "gpu"}"#, "A/B"),
        (r#"{"profile": "gpu"}"#, "G/G"),
        (r#"{"profile": "none"}"#, "D/D"),
        (r#"{"service": "", "profile": null}"#, "D/D"),
        ("{}", "D/D"),
    ] {
        assert_eq!(made(config, body("{}", "{}", options), &[]).unwrap().service.as_str(), expected, "{options}");
    }
    let refused = |config: &str, options: &str| made(config, body("{}", "{}", options), &[]).err().unwrap();
    assert!(refused("{}", "{}").contains("outpost.hub"), "{}", refused("{}", "{}"));
    assert!(refused("{}", r#"{"profile": "p"}"#).contains("no profile `p`"));
    assert!(refused(config, r#"{"service": 5}"#).contains("user_options.service must be a text"));
    assert!(refused(config, r#"{"service": "../x"}"#).contains("user_options.service: "));
}

#[test]
fn a_start_of_the_protocol_has_names_of_its_own() {
    let request = made("{}", body("{}", "{}", r#"{"service": "A/B"}"#), &[]).unwrap();
    assert_eq!(request.server_name.as_str(), "lab/s1");
    assert!(request.object_id.as_str().starts_with("lab-s1---"), "{}", request.object_id);
    assert_eq!(
        (request.env["SERVERNAME"].as_str(), request.env["DRF_ID"].as_str()),
        ("lab", request.object_id.as_str())
    );
}

#[test]
fn only_what_is_admitted_counts_and_wrong_values_do_not() {
    let it = outpost(
        r#"{"port": 8899, "image": "x/run:2", "ip": "::", "services_enabled": true, "start_timeout": 6}"#,
        "{}",
    );
    assert_eq!((it.port, it.ip.as_str(), it.services_enabled, it.start_timeout.as_secs()), (8899, "::", true, 6));
    assert_eq!(it.misc.get("image"), None);
    let it = outpost(
        r#"{"port": "abc", "internal_ssl": 1, "pod_name_template": null, "start_timeout": "6", "extra_labels": []}"#,
        r#"{"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:50399/user/a/", "JUPYTERHUB_USER": "bob.x"}"#,
    );
    assert_eq!((it.port, it.internal_ssl, it.pod_name.as_str()), (50399, false, "jupyter-bob-2ex--lab"));
    assert_eq!((it.start_timeout.as_secs(), it.labels.len()), (300, 0));
    assert_eq!(outpost("{}", "{}").port, 8888);
    assert_eq!(outpost("{}", "{}").host("jupyter-x", "space"), "jupyter-x.space.svc.cluster.local");
}

#[test]
fn certificates_turn_encryption_on_and_the_server_is_told_where_they_are() {
    let env = r#"{"JUPYTERHUB_SSL_KEYFILE": "/hub/k", "A": 1}"#;
    let plain = made("{}", body("{}", env, r#"{"service": "A/B"}"#), &[]).unwrap();
    assert!(!plain.env.contains_key("JUPYTERHUB_SSL_KEYFILE") && plain.certs.is_none());
    let mut with = body("{}", env, r#"{"service": "A/B"}"#);
    with.certificates =
        Some(Certificates { key: "K".to_owned(), certificate: "C".to_owned(), trusted: "A\nhub\n".to_owned() });
    let request = made("{}", with, &[]).unwrap();
    assert_eq!(request.env["JUPYTERHUB_SSL_KEYFILE"], "/etc/jupyterhub/ssl/ssl.key");
    assert_eq!(request.env["JUPYTERHUB_SSL_CLIENT_CA"], "/etc/jupyterhub/ssl/notebooks-ca_trust.crt");
    let certs = request.certs.unwrap();
    assert_eq!((certs["ssl.key"].as_str(), certs["ssl.crt"].as_str()), ("K", "C"));
    assert_eq!(certs["notebooks-ca_trust.crt"], "A\nhub\n");
    assert_eq!(request.outpost.unwrap().scheme(), "https");
}

#[test]
fn what_a_hub_knows_of_a_user_is_for_nobody() {
    let config = r#"{"custom_headers_keys": {"HTTP_AUTH_STATE_ACCESS_TOKEN": "token", "HTTP_X_EXTRA": "extra"}}"#;
    let headers = [("auth-state-access_token", "secret"), ("Auth-State-Access-Token", "secret"), ("x-extra", "1")];
    let request = made(config, body("{}", "{}", r#"{"service": "A/B"}"#), &headers).unwrap();
    assert_eq!(request.env.get("extra").map(String::as_str), Some("1"));
    assert!(request.env.values().all(|it| it != "secret"));
}
