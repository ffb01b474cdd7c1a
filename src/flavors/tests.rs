//! The rules against what was recorded of the reference: each recorded answer that is no more than a decision.

use std::collections::HashMap;

use super::*;
use crate::domain::{Credential, Json, Refusal};

/// A record, and the files as they were.
struct Record {
    id: String,
    expect: String,
    whole: Json,
    flavors_yaml: Option<String>,
    credits_yaml: Option<String>,
}

/// Records that leave the file as it was say nothing of it.
fn records() -> HashMap<String, Record> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/outpost/transcripts.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut flavors_yaml, mut credits_yaml) = (None, None);
    let mut records = HashMap::new();
    for line in text.lines() {
        let whole = Json::parse(line.as_bytes()).unwrap();
        let text_of = |key: &str| whole.get(key).and_then(Json::as_str).map(str::to_owned);
        flavors_yaml = text_of("flavors_yaml").or(flavors_yaml);
        // The file was emptied for these, which an empty text does not show.
        if text_of("id").is_some_and(|it| it.starts_with("flavors.emptyfile")) {
            flavors_yaml = Some(String::new());
        }
        credits_yaml = text_of("credits_yaml").or(credits_yaml);
        let (id, expect) = (text_of("id").unwrap(), text_of("expect").unwrap_or_default());
        let (flavors_yaml, credits_yaml) = (flavors_yaml.clone(), credits_yaml.clone());
        records.insert(id.clone(), Record { id, expect, whole, flavors_yaml, credits_yaml });
    }
    records
}

/// A file that is bad is not looked at any further here.
fn source<E: entries::Entry>(yaml: Option<&String>) -> Source<E> {
    match yaml.map(|it| parse::<E>(it)) {
        Some(Ok(Some(parsed))) => Source::Book(std::sync::Arc::new(parsed.book)),
        Some(Err(_)) => Source::Unreadable,
        None | Some(Ok(None)) => Source::Absent,
    }
}

impl Record {
    fn rules(&self) -> Rules {
        Rules { flavors: source(self.flavors_yaml.as_ref()), credits: source(self.credits_yaml.as_ref()) }
    }

    fn request(&self, key: &str) -> String {
        self.whole.get("request").unwrap().get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    fn hub(&self) -> Credential {
        use base64::Engine;
        let headers = self.whole.get("request").unwrap().get("headers").unwrap();
        let login = headers.get("Authorization").and_then(Json::as_str).unwrap().strip_prefix("Basic ").unwrap();
        let login = String::from_utf8(base64::prelude::BASE64_STANDARD.decode(login).unwrap()).unwrap();
        Credential::parse(login.split_once(':').unwrap().0).unwrap()
    }

    fn body(&self) -> Json {
        Json::parse(self.request("body").as_bytes()).unwrap_or(Json::Null)
    }

    fn answer(&self) -> (u64, String) {
        let response = self.whole.get("response").unwrap();
        let status = response.get("status").and_then(Json::lenient_integer).unwrap();
        (status as u64, response.get("body").and_then(Json::as_str).unwrap().to_owned())
    }

    /// What a start is told, where nothing of its flavor runs.
    fn start(&self, sends_authentication: bool) -> Result<Option<String>, String> {
        let body = self.body();
        let user = Authentication::read(body.get("authentication").unwrap_or(&Json::Null)).unwrap();
        let options = body.get("user_options").unwrap();
        let flavor = options.get("flavor").or_else(|| body.get("flavor")).and_then(Json::as_str);
        let wanted = Wanted {
            hub: &self.hub(),
            server_name: body.get("name").and_then(Json::as_str).unwrap(),
            flavor,
            user: user.as_ref(),
            sends_authentication,
            global_max_per_user: None,
        };
        let claimed = self.rules().claim(&wanted).unwrap();
        claimed.map(|it| it.map(|it| it.flavor)).map_err(|it| it.to_string())
    }

    fn refusal(&self) -> String {
        let (status, body) = self.answer();
        assert_eq!(status, 419, "{}", self.id);
        let body = Json::parse(body.as_bytes()).unwrap();
        let Some(Json::List(args)) = body.get("args") else { panic!("{}", self.id) };
        args[0].as_str().unwrap().to_owned()
    }
}

#[test]
fn what_hubs_and_users_get_is_as_recorded() {
    let mut seen = 0;
    for record in records().into_values().filter(|it| it.expect == "same") {
        if !matches!(record.whole.get("request"), Some(Json::Object(_))) {
            continue;
        }
        let (path, counts, rules) = (record.request("path"), [], record.rules());
        let user = Authentication::read(&record.body()).ok().flatten();
        let answered = match (record.request("method").as_str(), path.trim_end_matches('/')) {
            ("GET", "/flavors") => rules.flavors_answer(&record.hub(), None, &counts),
            ("POST", "/userflavors") => rules.flavors_answer(&record.hub(), user.as_ref(), &counts),
            ("GET", "/credits") => rules.credits_answer(&record.hub(), None),
            ("POST", "/usercredits") => rules.credits_answer(&record.hub(), user.as_ref()),
            _ => continue,
        };
        assert_eq!(answered, Ok(Answered::Json(record.answer().1)), "{}", record.id);
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn starts_are_refused_in_the_recorded_words() {
    let records = records();
    for id in ["flavor.missing", "flavor.unknown", "hubs.notallowed", "hubs.notallowed2"] {
        assert_eq!(records[id].start(false), Err(records[id].refusal()), "{id}");
    }
    for id in ["users.start.forbidden", "users.start.notinset"] {
        for sends_authentication in [false, true] {
            assert_eq!(records[id].start(sends_authentication), Err(records[id].refusal()), "{id}");
        }
    }
    for (id, flavor) in [("flavor.ok", "small"), ("flavor.top", "unl"), ("users.start.authnull", "small")] {
        assert_eq!(records[id].start(false), Ok(Some(flavor.to_owned())), "{id}");
    }
    assert_eq!(records["flavors.emptyfile.start"].start(false), Ok(None));
    assert_eq!(records["flavorsupdate.refused"].start(false), Ok(None), "no file");
}

#[test]
fn full_flavors_are_refused_in_the_recorded_words() {
    use crate::domain::LimitReached::{GlobalPerUser, Max, PerUser};
    let records = records();
    for (id, flavor, reached) in [
        ("flavor.maxPerUser", "small", PerUser(1)),
        ("flavor.max", "small", Max(2)),
        ("flavor.max.zero", "zero", Max(0)),
        ("maxperuser.global", "a", GlobalPerUser(2)),
    ] {
        let name = records[id].body().get("name").and_then(Json::as_str).unwrap().to_owned();
        let refusal = reached.refusal(&name, flavor, &records[id].hub(), 7);
        assert_eq!(refusal.to_string(), records[id].refusal(), "{id}");
    }
}

/// Our difference: where a hub is known to say who its users are, a start that does not say it is refused.
#[test]
fn a_start_that_does_not_say_whose_it_is_is_refused_where_that_matters() {
    let records = records();
    let record = &records["users.start.noauth"];
    assert_eq!(record.start(false), Ok(Some("small".to_owned())));
    let refused = "u1 - Start with flavor small not allowed. Allowed values for user: []";
    assert_eq!(record.start(true), Err(refused.to_owned()));
    assert_eq!(records["flavor.ok"].start(true), Ok(Some("small".to_owned())), "no sets of users");
    let of_another = "flavors: {a: {}}\nusers: {x: {hubs: [hub2], authentication: {name: x}, forbidden: true}}";
    let rules = Rules { flavors: source(Some(&of_another.to_owned())), credits: Source::Absent };
    let hub = Credential::parse("hub1").unwrap();
    let (user, flavor) = (None, Some("a"));
    let wanted =
        Wanted { hub: &hub, server_name: "x", flavor, user, sends_authentication: true, global_max_per_user: None };
    assert!(rules.claim(&wanted).unwrap().is_ok());
}

#[test]
fn flavors_in_use_come_first() {
    let record = &records()["flavor.top"];
    let counts = [("unl".to_owned(), 1), ("gone".to_owned(), 4), ("small".to_owned(), 1)];
    let answered = record.rules().flavors_answer(&record.hub(), None, &counts);
    let recorded = record.whole.get("flavors").and_then(Json::as_str).unwrap();
    assert_eq!(answered, Ok(Answered::Json(recorded.to_owned())));
}

#[test]
fn users_are_told_by_plain_values_only() {
    let records = records();
    let record = &records["users.nested"];
    let user = Authentication::read(&record.body()).unwrap().unwrap();
    let answered = record.rules().flavors_answer(&record.hub(), Some(&user), &[]);
    assert_eq!(answered, Err(AuthenticationError::Nested("name".to_owned())));
    let of_no_use = Json::parse(br#"{"name": "ann", "more": {"a": [1]}}"#).unwrap();
    let user = Authentication::read(&of_no_use).unwrap().unwrap();
    assert!(record.rules().flavors_answer(&record.hub(), Some(&user), &[]).is_ok());
    assert_eq!(Authentication::read(&Json::List(Vec::new())).map(|_| ()), Err(AuthenticationError::NoObject));
    assert!(!format!("{user:?}").contains("ann"));
}

#[test]
fn what_was_passed_over_is_refused() {
    let flavors = |yaml: &str| parse::<Flavor>(yaml).map(|_| ()).unwrap_err().to_string();
    let records = records();
    for (id, message) in [
        ("hubs.badtype", "`hubs.bad.jupyterhub_name`: must be a list of names, or a pattern"),
        ("flavors.brokenyaml", "not YAML: line 1 column 10: "),
    ] {
        let told = flavors(records[id].flavors_yaml.as_ref().unwrap());
        assert!(told.starts_with(message), "{id}: {told}");
    }
    for (yaml, message) in [
        ("hubs: {}", "`flavors`: is missing"),
        ("flavors:", "`flavors`: must be a mapping"),
        ("[a]", "`the whole file`: must be a mapping"),
        ("flavors: {a: }", "`flavors.a`: must be a mapping"),
        ("flavors: {a: {max: null}}", "`flavors.a.max`: must be a whole number: -1 (no limit), 0 (nobody) or more"),
        ("flavors: {a: {max: '3'}}", "`flavors.a.max`: must be a whole number: -1 (no limit), 0 (nobody) or more"),
        (
            "flavors: {d: {runtime: {lightyears: 1}}}",
            "`flavors.d.runtime.lightyears`: is no unit of time; there are weeks, days, hours, minutes, seconds, \
             milliseconds, microseconds",
        ),
        ("flavors: {a: {}}\nhubs: {x: {jupyterhub_name: [5]}}", "`hubs.x.jupyterhub_name`: must be a list of texts"),
        ("flavors: {a: {}}\nhubs: {x: {jupyterhub_name: a, flavors: a}}", "`hubs.x.flavors`: must be a list of names"),
        (
            "flavors: {a: {}}\nhubs: {x: {jupyterhub_name: a, flavorsOverride: {a: {max: x}}}}",
            "`hubs.x.flavorsOverride.a.max`: must be a whole number: -1 (no limit), 0 (nobody) or more",
        ),
        ("flavors: {a: {}}\nusers: {x: {authentication: [a]}}", "`users.x.authentication`: must be a mapping"),
        (
            "flavors: {a: {}}\nusers: {x: {authentication: {name: 5}}}",
            "`users.x.authentication.name`: must be a pattern, or a list of values",
        ),
        (
            "flavors: {a: {}}\nusers: {x: {authentication: {name: a}, forbidden: 'yes'}}",
            "`users.x.forbidden`: must be true or false",
        ),
        ("flavors: {a: {}}\n---\nflavors: {b: {}}", "it holds several documents; one is wanted"),
    ] {
        assert_eq!(flavors(yaml), message, "{yaml}");
    }
    let flat = "credits: {cap: 1}\nusers: {x: {authentication: {name: a}, creditsOverride: {cap: {a: 1}}}}";
    let told = parse::<Credit>(flat).map(|_| ()).unwrap_err().to_string();
    assert_eq!(told, "`users.x.creditsOverride.cap`: cannot change a plain value");
}

#[test]
fn what_has_no_effect_is_told() {
    let yaml = "flavors: {a: {}, b: {}}\nflavours: {}\nhubs: {x: {flavors: [a, c], flavorsOverride: {b: {max: 1}}}}\n\
                users: {y: {flavor: [a]}, z: {negate_authentication: true}}";
    let parsed = parse::<Flavor>(yaml).unwrap().unwrap();
    let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "`flavours`: is not known and is ignored",
            "`hubs.x.jupyterhub_name`: is missing: the set is nobody's",
            "`hubs.x.flavors`: there is no `c`",
            "`hubs.x.flavorsOverride.b`: is not among those of the set: without effect",
            "`users.y.flavor`: is not known and is ignored",
            "`users.y.authentication`: is missing: nobody matches",
            "`users.z.authentication`: is missing: everybody matches of whom the hub says anything",
        ]
    );
}

#[test]
fn a_flavor_that_only_users_have_is_found_and_a_hub_s_own_comes_first() {
    let yaml = "flavors: {a: {warn_minutes: 1}, b: {warn_minutes: 2}}\n\
                hubs: {x: {jupyterhub_name: [hub1], flavors: [a], flavorsOverride: {a: {warn_minutes: 3}}}}";
    let book = parse::<Flavor>(yaml).unwrap().unwrap().book;
    let rules = Rules { flavors: Source::Book(book.into()), credits: Source::Absent };
    let hub = Credential::parse("hub1").unwrap();
    let warning = |name| rules.flavor(&hub, name).and_then(|it| it.warning).map(|it| it.as_mins());
    assert_eq!([warning("a"), warning("b"), warning("c")], [Some(3), Some(2), None]);
}

#[test]
fn a_forbidden_user_has_flat_credits() {
    let record = &records()["usercredits.vip"];
    let user = Authentication::read(&Json::parse(br#"{"name": "mallory"}"#).unwrap()).unwrap().unwrap();
    let answered = record.rules().credits_answer(&record.hub(), Some(&user));
    assert_eq!(answered, Ok(Answered::Json(r#"{"cap":0,"grant_value":0,"grant_interval":86400}"#.to_owned())));
}

#[test]
fn while_a_file_cannot_be_read_nothing_is_allowed() {
    let rules = Rules { flavors: Source::Unreadable, credits: Source::Unreadable };
    let hub = Credential::parse("hub1").unwrap();
    let wanted = Wanted {
        hub: &hub,
        server_name: "lab",
        flavor: Some("a"),
        user: None,
        sends_authentication: false,
        global_max_per_user: None,
    };
    assert!(matches!(rules.claim(&wanted), Ok(Err(Refusal::Unreadable { .. }))));
    assert_eq!(rules.flavors_answer(&hub, None, &[]), Ok(Answered::Unreadable));
    assert_eq!(rules.credits_answer(&hub, None), Ok(Answered::Unreadable));
}
