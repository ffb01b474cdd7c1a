//! Hostile requests: refused with words, nothing made, no panic, no 5xx.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};
use crate::support::wire::{Answer, Request, send_raw};

const RUN: &str = "JupyterLab/Run";

fn assert_clear(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
    assert!(answer.body.len() > 10, "{what}: says what is wrong: {}", answer.body);
    answer.json();
}

fn post() -> Request {
    Request::new("POST", "/api/services/").header("Authorization", &basic(JUPYTERHUB))
}

fn raw_body(body: impl Into<Vec<u8>>) -> Request {
    post().header("uuidcode", "lab").header("Content-Type", "application/json").body(body)
}

#[tokio::test]
async fn services_outside_of_the_descriptions_are_refused() {
    let app = TestApp::start().await;
    let before = app.everything().await;
    for service in [
        "../x",
        "..",
        ".",
        "./JupyterLab/Run",
        "/etc",
        "/",
        "",
        "a//b",
        "JupyterLab//Run",
        "JupyterLab/../JupyterLab/Run",
        "JupyterLab/Run/..",
        "JupyterLab/./Run",
        "~",
        "C:\\x\\..",
        "JupyterLab/Run\0",
        "JupyterLab/\nRun",
        "\u{202e}x/..",
    ] {
        let answer = app.start_service(JUPYTERHUB, "lab", "s1", service).await;
        match answer.status {
            // A plain name that there is no description for.
            500 => assert!(answer.body.contains("Couldn't find service yaml file."), "{service:?}: {}", answer.body),
            _ => assert_clear(&answer, service),
        }
        assert_eq!(app.everything().await, before, "{service:?}");
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn links_in_the_descriptions_lead_nowhere_else() {
    let app = TestApp::start().await;
    std::fs::write(app.path("secret.txt"), "not yours").unwrap();
    let top = app.path("descriptions/jupyterhub");
    symlink("/etc", top.join("etc")).unwrap();
    symlink(app.path(""), top.join("outside")).unwrap();
    symlink("../../otherhub/OnlyOther/Run", top.join("JupyterLab/Foreign")).unwrap();
    symlink(app.path("secret.txt"), top.join("JupyterLab/Run/input/leak.txt")).unwrap();
    symlink("loop", top.join("JupyterLab/loop")).unwrap();

    for service in
        ["etc", "outside", "outside/descriptions/jupyterhub/JupyterLab/Run", "JupyterLab/Foreign", "JupyterLab/loop"]
    {
        let answer = app.start_service(JUPYTERHUB, "lab", "s1", service).await;
        assert!(matches!(answer.status, 400 | 500), "{service}: {} {}", answer.status, answer.body);
        assert!(!answer.body.contains(app.path("").to_str().unwrap()), "{service}: no path: {}", answer.body);
        assert_eq!(app.cluster.names().await, Vec::<String>::new(), "{service}");
    }
    // The description itself works or is refused; what the link leads to is in neither.
    let answer = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    assert!(matches!(answer.status, 201 | 500), "{}", answer.body);
    for object in app.cluster.objects().await {
        let comparable = crate::support::cluster::comparable(&object).to_string();
        assert!(!comparable.contains("not yours"), "{comparable}");
    }
    app.end().await;
}

#[tokio::test]
async fn names_and_start_ids_that_cannot_be_are_refused() {
    let app = TestApp::start().await;
    let before = app.everything().await;
    let long = "n".repeat(256);
    let names: [&[u8]; 12] = [
        b"a/b",
        b"../x",
        b"..",
        b".",
        b"a\x01b",
        b"a\tb",
        b"\x1b[31m",
        b"a\x7f",
        b"\xc2\x85",
        b"a\xe2\x80\xa8/b",
        b"/",
        long.as_bytes(),
    ];
    for name in names {
        let what = String::from_utf8_lossy(name).into_owned();
        let request = post().raw_header("uuidcode", name).json(&start_body(RUN, "s1"));
        let answer = app.send(&request).await;
        if answer.status == 201 {
            // What no rule forbids gets an id of its own and can be stopped.
            assert!(!name.iter().any(|it| it.is_ascii_control() || *it == b'/'), "{what:?}: {}", answer.body);
            let encoded = percent_encoding::percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
            app.delete(JUPYTERHUB, &encoded).await.assert(204, "");
            app.cluster.nothing_of("").await;
            continue;
        }
        assert!((400..500).contains(&answer.status), "{what:?}: {} {}", answer.status, answer.body);
        assert_eq!(app.everything().await["cluster"], before["cluster"], "{what:?}");
    }
    // `.` and `..` would get a safe id like any odd name; what could leave a line, a path or a label is refused.
    for start_id in ["a\nb", "a\r\nkind: Pod", "a/b", "../x", "a\u{0}b", "a\u{1}b", &long] {
        let answer = app.start_service(JUPYTERHUB, "lab", start_id, RUN).await;
        assert_clear(&answer, start_id);
        assert!(answer.body.contains("start_id"), "{start_id:?}: {}", answer.body);
        assert_eq!(app.everything().await["cluster"], before["cluster"], "{start_id:?}");
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

#[tokio::test]
async fn paths_that_are_no_names_are_not_found() {
    let app = TestApp::start().await;
    for name in ["..", "%2e%2e", "%2F", "a%00b", "%0a", "%ff%fe", "%", "%zz", "a%2f..%2fb", "..%5c", "%c3%28"] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = app.send_as(JUPYTERHUB, Request::new(method, &format!("/api/services/{name}/"))).await;
            assert!(matches!(answer.status, 400 | 404 | 405), "{method} {name}: {} {}", answer.status, answer.body);
        }
    }
    app.end().await;
}

#[tokio::test]
async fn wrong_types_everywhere_are_refused() {
    let app = TestApp::start().await;
    let before = app.everything().await;
    let wrong =
        [json!(null), json!(true), json!(5), json!(1.5), json!("x"), json!([]), json!([{}]), json!({}), json!("")];
    let places: [(&str, &[&str]); 8] = [
        ("/env", &[]),
        ("/env/JUPYTERHUB_USER_ID", &["5"]),
        ("/user_options", &[]),
        ("/user_options/service", &["\"x\""]),
        ("/start_id", &["5", "1.5", "\"x\""]),
        ("/certs", &[]),
        ("/certs/keyfile", &["\"x\"", "\"\""]),
        ("/auth_state", &["null", "{}"]),
    ];
    for (place, fine) in places {
        for value in &wrong {
            if fine.contains(&value.to_string().as_str()) {
                continue;
            }
            let mut body = start_body(RUN, "s1");
            body["certs"] = json!({"keyfile": "k", "certfile": "c", "cafile": "a"});
            body["auth_state"] = json!({});
            *body.pointer_mut(place).unwrap() = value.clone();
            let answer = app.post(JUPYTERHUB, "lab", &body).await;
            assert_clear(&answer, &format!("{place} {value}"));
        }
    }
    assert_eq!(app.everything().await, before);
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn bodies_that_are_no_sound_json_are_refused() {
    let app = TestApp::start().await;
    let before = app.everything().await;
    let deep = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let sound = start_body(RUN, "s1").to_string();
    let with = |key: &str, value: &str| sound.replacen('{', &format!("{{{key}:{value},"), 1);
    for (what, body) in [
        ("100000 lists", deep("[", "]", 100_000).into_bytes()),
        ("100000 objects", deep("{\"a\":", "}", 100_000).into_bytes()),
        ("100000 open lists", "[".repeat(100_000).into_bytes()),
        ("deep in a key that is ignored", with("\"x\"", &deep("[", "]", 100_000)).into_bytes()),
        ("a lone surrogate", with("\"x\"", "\"\\ud800\"").into_bytes()),
        ("a lone surrogate in a key", with("\"\\udc00\"", "1").into_bytes()),
        ("a surrogate pair the wrong way round", with("\"x\"", "\"\\udc00\\ud800\"").into_bytes()),
        ("not UTF-8", b"{\"env\": \"\xff\xfe\"}".to_vec()),
        ("cut short", sound.as_bytes()[..sound.len() - 1].to_vec()),
        ("a NUL after it", format!("{sound}\0").into_bytes()),
        ("a comment", format!("/**/{sound}").into_bytes()),
        ("infinity", with("\"x\"", "Infinity").into_bytes()),
        ("an unknown escape", with("\"x\"", "\"\\q\"").into_bytes()),
        ("a raw line break in a text", with("\"x\"", "\"a\nb\"").into_bytes()),
        ("UTF-16", sound.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ] {
        let answer = app.send(&raw_body(body)).await;
        assert_clear(&answer, what);
        assert_eq!(answer.status, 400, "{what}: {}", answer.body);
        assert!(answer.body.len() < 2048, "{what}: the body is not echoed");
    }
    assert_eq!(app.everything().await, before);
    app.end().await;
}

#[tokio::test]
async fn of_a_repeated_key_one_value_counts_everywhere_or_none_does() {
    let app = TestApp::start().await;
    let sound = start_body(RUN, "s1").to_string();
    for doubled in [
        sound.replacen('{', r#"{"start_id":"other","#, 1),
        sound.replacen(r#""user_options":{"#, r#""user_options":{"service":"../x","#, 1),
        sound.replacen(r#""env":{"#, r#""env":{"JUPYTERHUB_USER_ID":1,"#, 1),
    ] {
        let answer = app.send(&raw_body(doubled.clone())).await;
        if answer.status != 201 {
            assert_clear(&answer, &doubled);
            continue;
        }
        // As Python and most readers have it: the last one.
        let (start_id, user) =
            (answer.json().member("start_id").text().to_owned(), answer.json().member("jhub_user_id").to_text());
        assert_eq!((start_id.as_str(), user.as_str()), ("s1", "7"), "{doubled}");
        assert!(!answer.body.contains("../x"), "{}", answer.body);
        app.delete(JUPYTERHUB, "lab").await.assert(204, "");
        app.cluster.nothing_of("").await;
    }
    app.end().await;
}

#[tokio::test]
async fn values_cannot_break_out_of_the_manifests() {
    let app = TestApp::start().await;
    let mut body = start_body(RUN, "s1");
    for (key, value) in [("A", "x\n---\nkind: Pod"), ("B", "<id><secret_name>{{env}}"), ("C", "\u{85}\u{2028}\u{feff}")]
    {
        body["env"][key] = json!(value);
    }
    body["user_options"]["name"] = json!("x\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: evil\n");
    let answer = app.post(JUPYTERHUB, "a: b\"}<id>", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let kinds: Vec<Value> = app.cluster.objects().await.iter().map(|it| it["kind"].clone()).collect();
    let of_ours = kinds.iter().filter(|it| *it != "Pod").count();
    assert_eq!(of_ours, 4, "ConfigMap, Deployment, Secret, Service: {kinds:?}");
    app.end().await;
}

#[tokio::test]
async fn what_is_no_http_is_refused_or_hung_up_on() {
    let app = TestApp::start().await;
    let authorization = basic(JUPYTERHUB);
    let long = "a".repeat(200_000);
    for (what, request) in [
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("a line too long", format!("GET /{long} HTTP/1.1\r\n\r\n").into_bytes()),
        ("a header too long", format!("GET /api/health/ HTTP/1.1\r\nX-A: {long}\r\n\r\n").into_bytes()),
        ("too many headers", format!("GET /api/health/ HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(20_000)).into_bytes()),
        (
            "two lengths",
            b"POST /api/services/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_vec(),
        ),
        ("a length that is no number", b"POST /api/services/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec()),
        (
            "a chunk that is no chunk",
            format!(
                "POST /api/services/ HTTP/1.1\r\nAuthorization: {authorization}\r\nuuidcode: lab\r\nContent-Type: \
                 application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"
            )
            .into_bytes(),
        ),
        ("a control character in a header", b"GET /api/health/ HTTP/1.1\r\nX-A: a\x00b\r\n\r\n".to_vec()),
    ] {
        let answer = send_raw(app.address(), &request).await;
        assert!((400..500).contains(&answer.status), "{what}: {}", answer.status);
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}
