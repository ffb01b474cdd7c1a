//! Log handlers and the log test: `log.*`, in the order of the records.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::app::JUPYTERHUB;
use crate::support::json::Json;
use crate::support::log_lines::{comparable, lines_of};
use crate::support::ports::ReservedPort;
use crate::support::receivers::{self, Received};
use crate::support::records::{Record, Scenario};
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};

const HANDLERS: &str = "/api/logs/handler/";

/// Where we differ: the status, and the body where it is pinned.
const DIFFERENCES: &[(&str, u16, &str)] = &[
    ("log.get.json", 404, r#"{"detail":"Not found."}"#),
    (
        "log.noslash",
        200,
        r#"[{"handler":"stream","configuration":{"level":10,"formatter":"simple","stream":"ext://sys.stdout"}}]"#,
    ),
    ("log.options.one", 200, ""),
    ("log.post.bad.empty", 400, r#"["Missing key in input data: handler"]"#),
    ("log.post.bad.nobody", 400, r#"["Missing key in input data: handler"]"#),
    ("log.post.bad.json", 400, ""),
    ("log.post.bad.list", 400, r#"["The body must be a JSON object."]"#),
    ("log.post.bad.null", 400, r#"["The body must be a JSON object."]"#),
    ("log.post.bad.configuration.null", 400, r#"["Configuration must be of type dict not <class 'NoneType'>"]"#),
    (
        "log.post.bad.formatter.null",
        400,
        r#"["Unsupported formatter: None. Supported formatters: ['simple', 'json']"]"#,
    ),
    (
        "log.post.bad.file.when.int",
        400,
        r#"["Unsupported when: 5. Supported whens: ['s', 'm', 'h', 'd', 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'midnight']"]"#,
    ),
    (
        "log.post.foreignkeys",
        400,
        r#"["Unsupported key in configuration: filename. Supported keys: ['formatter', 'level', 'stream']"]"#,
    ),
    ("log.foreign.effect", 200, "[]"),
    ("log.foreign.effect2", 200, ""),
    ("log.foreign.handlers", 200, "[]"),
    ("log.foreign.after", 200, "[]"),
    (
        "log.upd.patch.nohandler",
        200,
        r#"{"handler":"stream","configuration":{"formatter":"json","level":40,"stream":"ext://sys.stdout"}}"#,
    ),
    (
        "log.upd.put.nohandler",
        200,
        r#"{"handler":"stream","configuration":{"formatter":"json","level":40,"stream":"ext://sys.stdout"}}"#,
    ),
    ("log.upd.put.rename", 400, r#"["The handler is stream; it cannot become file."]"#),
    ("log.logtest.noslash", 200, ""),
    ("log.status.trace", 200, ""),
    (
        "log.post.fmt.nofolder",
        400,
        r#"["filename \"/nonexistent/x.log\": no folder /nonexistent: no such file or directory"]"#,
    ),
    ("log.nofolder.effect", 200, ""),
    ("log.syslog.refused", 200, ""),
    ("log.syslog.refused.post", 201, ""),
    (
        "log.restart.after",
        200,
        r#"[{"handler":"stream","configuration":{"formatter":"json","level":40,"stream":"ext://sys.stdout"}}]"#,
    ),
];

struct Replay {
    app: crate::LogApp,
    udp: Received,
    tcp: Received,
    smtp: (SocketAddr, Received),
    /// Nobody listens there.
    _refused: ReservedPort,
    /// What the records say and what it is here.
    here: Vec<(&'static str, String)>,
}

impl Replay {
    async fn start() -> Self {
        let app = crate::app_with(&["/tmp"]).await;
        let (udp_address, udp) = receivers::udp().await;
        let (tcp_address, tcp) = receivers::tcp().await;
        let smtp = receivers::smtp().await;
        let refused = ReservedPort::take();
        let here = vec![
            ("/srv/k8smgr", app.path("").to_str().unwrap().trim_end_matches('/').to_owned()),
            // Certificates are whole here, or refused.
            ("{\"keyfile\":\"k\"}", "{\"keyfile\":\"k\",\"certfile\":\"c\",\"cafile\":\"a\"}".to_owned()),
            (",5514]", format!(",{}]", udp_address.port())),
            (",5515]", format!(",{}]", tcp_address.port())),
            (",5516]", format!(",{}]", refused.number())),
        ];
        Self { app, udp, tcp, smtp, _refused: refused, here }
    }

    /// The record, with the folder and the ports of this test.
    fn here(&self, record: &Record) -> Record {
        let text = self.here.iter().fold(record.whole.to_text(), |text, (there, here)| text.replace(there, here));
        Record { id: record.id.clone(), whole: Json::parse(&text) }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::new(method, path);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        self.app.send_as(JUPYTERHUB, request).await
    }

    async fn play(&mut self, record: &Record) {
        let recorded = self.here(record);
        let request = recorded.request();
        if request.method == "DELETE" && recorded.status() == 204 {
            // What we refused is not there; the record of its end holds all the same.
            let handler = request.path.trim_end_matches('/').rsplit('/').next().unwrap();
            self.send("POST", HANDLERS, Some(json!({"handler": handler}))).await;
        }
        match record.id.as_str() {
            "log.logtest.one" => {
                // Not the reference's page for people.
                self.app.send(&request).await.assert(404, r#"{"detail":"Not found."}"#);
            }
            "log.logtest.json" => self.log_in_json().await,
            "log.syslog.json" => {
                let change = json!({"configuration": {"formatter": "json"}});
                self.send("PUT", "/api/logs/handler/syslog/", Some(change)).await;
            }
            "log.smtp" => {
                let change = json!({"configuration": {"port": self.smtp.0.port()}});
                self.send("PUT", "/api/logs/handler/smtp/", Some(change)).await;
            }
            "log.restart.after" => self.app.restart().await,
            _ => {}
        }
        if record.id == "log.logtest.one" {
            return;
        }
        if record.is_same() {
            self.app.same(&recorded).await;
        } else {
            self.differs(&recorded).await;
        }
        self.check_effect(&recorded).await;
    }

    async fn differs(&self, record: &Record) {
        if matches!(record.id.as_str(), "log.error.simple" | "log.error.json" | "log.start.json")
            || record.id == "log.post.fmt.syslog.refused"
        {
            let answer = self.app.send(&record.request()).await;
            return crate::support::compare::assert_same(record, &answer);
        }
        let (_, status, body) =
            DIFFERENCES.iter().find(|(id, ..)| *id == record.id).unwrap_or_else(|| panic!("{} differs", record.id));
        let answer = self.app.differs(record, *status).await;
        if !body.is_empty() {
            assert_eq!(answer.body, *body, "{}", record.id);
        }
        // Later records go on from what the reference had then.
        if record.id.ends_with(".nohandler") {
            self.send("PUT", "/api/logs/handler/stream/", Some(json!({"configuration": {"level": 30}}))).await;
        } else if record.id == "log.upd.put.rename" {
            let renamed = json!({"handler": "file", "configuration": {"level": 40}});
            self.send("POST", HANDLERS, Some(renamed)).await;
        }
        if record.id == "log.options.one" {
            assert_eq!(answer.header("allow"), Some("GET, PUT, PATCH, DELETE, HEAD, OPTIONS"));
        }
    }

    async fn check_effect(&self, record: &Record) {
        if let (Some(stored), true) = (record.get("db"), record.is_same()) {
            self.assert_stored(record, stored).await;
        }
        match record.id.as_str() {
            "log.logtest.simple" => self.assert_file(record, "fmt_simple.log").await,
            "log.logtest.json" => self.assert_file(record, "fmt_json.log").await,
            "log.syslog.simple" | "log.syslog.json" => {
                let sent = record.get("datagrams").unwrap().items().iter().map(|it| it.text().to_owned()).collect();
                assert_syslog(&record.id, &self.udp.take(4).await, sent);
            }
            "log.syslog.tcp" => {
                let sent = record.get("stream").unwrap().text().split_inclusive('\0').map(str::to_owned).collect();
                assert_syslog(&record.id, &self.tcp.take(2).await, sent);
            }
            "log.smtp" => self.assert_mail(record).await,
            "log.error.simple" => self.assert_request_lines("fmt_simple.log", "lg1", " --- uuidcode=lg1").await,
            "log.error.json" => self.assert_request_lines("fmt_json.log", "lg2", r#""uuidcode": "lg2""#).await,
            "log.start.json" => self.assert_request_lines("fmt_json.log", "lg3", r#""uuidcode": "lg3""#).await,
            "log.post.fmt.syslog.refused" => {
                eventually("told as failing", async || {
                    let told = self.send("GET", "/api/logs/handler/syslog/", None).await.value();
                    told["failing"].as_str().is_some_and(|it| it.contains("connection refused")).then_some(())
                })
                .await;
            }
            _ => {}
        }
    }

    /// The records list what is stored by name.
    async fn assert_stored(&self, record: &Record, stored: &Json) {
        let listed = self.send("GET", HANDLERS, None).await.json();
        let mut listed: Vec<_> = listed
            .items()
            .iter()
            .map(|it| format!("[\"{}\",{}]", it.member("handler").text(), it.member("configuration").to_text()))
            .collect();
        listed.sort();
        let mut stored: Vec<_> = stored.items().iter().map(Json::to_text).collect();
        if record.id.starts_with("log.post.fmt.") {
            // The reference had just been started and had saved its stream handler anew.
            stored.retain(|it| !it.starts_with("[\"stream\""));
        }
        assert_eq!(listed, stored, "{}", record.id);
    }

    async fn assert_file(&self, record: &Record, name: &str) {
        let expected: Vec<_> = record.get("file").unwrap().text().lines().map(comparable).collect();
        let lines = lines_of(&self.app.path(name), expected.len()).await;
        assert_eq!(lines.iter().map(|it| comparable(it)).collect::<Vec<_>>(), expected, "{}", record.id);
    }

    /// All lines of a request carry its name, none a secret of it.
    async fn assert_request_lines(&self, file: &str, name: &str, mark: &str) {
        let of_request = eventually("lines of the request", async || {
            let text = std::fs::read_to_string(self.app.path(file)).unwrap();
            let after_test: Vec<_> = text.lines().skip(7).filter(|it| it.contains(name)).map(str::to_owned).collect();
            (!after_test.is_empty()).then_some(after_test)
        })
        .await;
        for line in of_request {
            comparable(&line);
            assert!(line.contains(mark), "{line}");
            for secret in ["hdrtok", "s3cret", "bodytok", "jhubpw", "anVweXRlcmh1YjpqaHVicHc="] {
                assert!(!line.contains(secret), "{line}");
            }
        }
    }

    async fn log_in_json(&self) {
        let file = self.app.path("fmt_json.log");
        let configuration =
            json!({"formatter": "json", "level": 0, "filename": file, "when": "midnight", "backupCount": 2});
        let body = json!({"handler": "file", "configuration": configuration});
        assert_eq!(self.send("PUT", "/api/logs/handler/file/", Some(body)).await.status, 200);
    }

    async fn assert_mail(&self, record: &Record) {
        let recorded: Vec<_> =
            record.get("smtp_client_lines").unwrap().items()[0].items().iter().map(Json::text).collect();
        let mails = self.smtp.1.take(1).await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mail(&mails[0]), mail(&recorded.join("\n")), "{}", record.id);
    }

    async fn end(self) {
        let _ = std::fs::remove_file("/tmp/file.log");
        self.app.end().await;
    }
}

fn assert_syslog(id: &str, received: &[String], expected: Vec<String>) {
    let comparable = |message: &String| {
        let (priority, line) = message.split_once('>').unwrap();
        format!("{priority}>{}\0", comparable(line.strip_suffix('\0').expect("a NUL at the end")))
    };
    assert_eq!(
        received.iter().map(comparable).collect::<Vec<_>>(),
        expected.iter().map(comparable).collect::<Vec<_>>(),
        "{id}"
    );
}

/// A session without what the standards leave open: case of verbs, order of headers, blanks between addresses, where
/// lines are broken.
fn mail(session: &str) -> (Vec<String>, Vec<String>, String) {
    let (commands, rest) = session.split_once("\ndata\n").or_else(|| session.split_once("\nDATA\n")).unwrap();
    let commands =
        commands.lines().skip(1).map(|line| line.to_lowercase()).map(|line| line.replace(" body=8bitmime", ""));
    let (headers, body) = rest.split_once("\n\n").unwrap();
    let mut headers: Vec<_> = headers
        .lines()
        .map(|line| match line.split_once(": ").unwrap() {
            ("Date", date) => {
                assert!(date.ends_with(" +0000") && date.contains(", "), "{date}");
                "Date".to_owned()
            }
            (name, value) => format!("{name}: {}", value.replace(", ", ",")),
        })
        .collect();
    headers.sort();
    let (body, end) = body.split_once("\n.\n").unwrap();
    assert_eq!(end.to_lowercase(), "quit");
    let body = body.replace("=\n", "").replace("=3D", "=");
    (commands.collect(), headers, comparable(body.trim_end()))
}

#[tokio::test]
async fn log_handlers_answer_and_write_as_recorded() {
    let others = ["authz.admin.GET./api/logs/handler/", "route.options.handler", "route.options.logtest"];
    let records = Scenario::new(|id| id.starts_with("log.") || others.contains(&id));
    let mut replay = Replay::start().await;
    for id in ["route.options.handler", "route.options.logtest"] {
        let record = records.record(id);
        let answer = replay.app.differs(record, 200).await;
        let recorded = record.whole.member("response").member("headers").member("allow").text();
        assert_eq!(answer.header("allow"), Some(recorded), "{id}");
    }
    for record in records.rest() {
        replay.play(record).await;
    }
    replay.end().await;
}

#[tokio::test]
async fn levels_are_numbers_texts_and_names() {
    let replay = Replay::start().await;
    for level in [json!(10.0), json!("TRACE"), json!(99), json!("DEACTIVATE"), json!(0), json!("5"), json!("FATAL")] {
        let body = json!({"handler": "stream", "configuration": {"level": level}});
        let answer = replay.send("PUT", "/api/logs/handler/stream/", Some(body)).await;
        assert_eq!((answer.status, &answer.value()["configuration"]["level"]), (200, &level));
    }
    for (level, shown) in [(json!(1), "1"), (json!("debug"), "debug"), (json!(null), "None"), (json!(true), "True")] {
        let body = json!({"handler": "stream", "configuration": {"level": level}});
        let answer = replay.send("PATCH", "/api/logs/handler/stream/", Some(body)).await;
        assert_eq!(answer.status, 400);
        assert!(
            answer.body.starts_with(&format!("[\"Unsupported level: {shown}. Supported levels: [0, 5, ")),
            "{}",
            answer.body
        );
    }
    replay.end().await;
}
