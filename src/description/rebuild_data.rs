//! What `rebuild` needs to write a record anew: annotations of the owner Secret, written when it is made.
//!
//! On the Secret alone: whoever may read it may read the tokens in it, so that a user's options tell nobody more than
//! they know. What is a secret by itself is never written: environment, certificates, an update.yaml that makes Secrets.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::manifest;
use super::ownership::{CREDENTIAL, SERVER_NAME, SERVICE_NAME, START_ID, USER_ID};
use crate::domain::{AppliedObject, Credential, Json, Mark, NewService, ObjectId, ServerName, ServiceName, StartId};

const START_DATE: &str = "k8smgr.io/start-date";
const OBJECT_ID: &str = "k8smgr.io/object-id";
const USER_OPTIONS: &str = "k8smgr.io/user-options";
const UPDATE_MANIFEST: &str = "k8smgr.io/update-manifest";
/// Everything that the start made, as the record has it. An owner is told by it.
pub const OBJECTS: &str = "k8smgr.io/objects";
const FLAVOR: &str = "k8smgr.io/flavor";
/// As it was known when the owner was made: some seconds before the end date of the record.
const ENDS_AT: &str = "k8smgr.io/ends-at";
/// `"true"` where K8s Manager took the service over from its predecessor.
const ADOPTED: &str = "k8smgr.io/adopted";

/// Kubernetes takes 256 KiB of annotations on an object. What is longer is left out.
const LONGEST_USER_OPTIONS: usize = 128 * 1024;
const LONGEST_OTHER: usize = 58 * 1024;

/// A record as it can be made from an owner.
pub struct RebuildData {
    pub new: NewService,
    pub is_adopted: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildDataError {
    #[error("the annotation {0} is missing")]
    Missing(&'static str),
    #[error("the annotation {0} cannot be read")]
    Unreadable(&'static str),
    #[error("the annotations are not those that the labels were made from: somebody changed them")]
    Changed,
}

/// The annotations of the owner, beyond those of every object.
pub fn annotations(new: &NewService, is_adopted: bool) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([
        (START_DATE, new.start_date.to_string()),
        (OBJECT_ID, new.object_id.to_string()),
        (OBJECTS, objects_annotation(&new.objects)),
    ]);
    let user_options = new.user_options.to_text();
    if user_options.len() <= LONGEST_USER_OPTIONS {
        annotations.insert(USER_OPTIONS, user_options);
    }
    if let Some(text) = new.update_manifest.as_ref().filter(|it| it.len() <= LONGEST_OTHER && !makes_secrets(it)) {
        annotations.insert(UPDATE_MANIFEST, text.clone());
    }
    annotations.extend(new.flavor.as_ref().map(|it| (FLAVOR, it.clone())));
    annotations.extend(new.ends_at.map(|it| (ENDS_AT, it.to_string())));
    if is_adopted {
        annotations.insert(ADOPTED, "true".to_owned());
    }
    annotations
}

/// What the annotation `OBJECTS` holds. Without uids: they are read from the cluster.
pub fn objects_annotation(objects: &[AppliedObject]) -> String {
    let mut listed: Vec<_> = objects.iter().map(|it| AppliedObject { uid: None, ..it.clone() }).collect();
    loop {
        // Plain structs of texts: this cannot fail.
        let text = serde_json::to_string(&listed).unwrap_or_default();
        if text.len() <= LONGEST_OTHER {
            return text;
        }
        // The owner and what decides are kept; the others go with the owner.
        if let Some((_, owned)) = listed.split_first_mut() {
            owned.sort_by_key(|it| !it.is_workload);
        }
        listed.truncate(listed.len() * 9 / 10);
    }
}

fn makes_secrets(update_manifest: &str) -> bool {
    manifest::parse(update_manifest, "").map_or(true, |manifests| manifests.iter().any(|it| it.kind == "Secret"))
}

/// Reads an owner's metadata. The labels are the proof that nobody changed the names.
pub fn read(
    installation: &str,
    namespace: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Result<RebuildData, RebuildDataError> {
    let text = |key: &'static str| annotations.get(key).ok_or(RebuildDataError::Missing(key));
    let credential = parsed(CREDENTIAL, text(CREDENTIAL)?, |it| Credential::parse(it).ok())?;
    let server_name = parsed(SERVER_NAME, text(SERVER_NAME)?, |it| ServerName::stored(it).ok())?;
    let start_id = parsed(START_ID, text(START_ID)?, |it| StartId::parse(it).ok())?;
    let service = parsed(SERVICE_NAME, text(SERVICE_NAME)?, |it| ServiceName::parse(it).ok())?;
    let start_date: Timestamp = parsed(START_DATE, text(START_DATE)?, |it| it.parse().ok())?;
    let mark = Mark::new(installation, &credential, &server_name, &start_id, start_date);
    if !mark.is_on(labels) {
        return Err(RebuildDataError::Changed);
    }
    let user_options = match annotations.get(USER_OPTIONS) {
        Some(text) => parsed(USER_OPTIONS, text, |it| Json::parse(it.as_bytes()).ok())?,
        // They were too long to be kept; this much is known of them.
        None => Json::Object(vec![("service".to_owned(), Json::String(service.to_string()))]),
    };
    // It becomes a folder's name.
    let object_id = parsed(OBJECT_ID, text(OBJECT_ID)?, |it| {
        (!it.is_empty() && !it.contains('/') && it != "." && it != "..").then(|| ObjectId::from_stored(it.to_owned()))
    })?;
    Ok(RebuildData {
        new: NewService {
            object_id,
            service,
            user_options,
            jhub_user_id: parsed(USER_ID, text(USER_ID)?, |it| it.parse().ok())?,
            start_date,
            namespace: namespace.to_owned(),
            objects: parsed(OBJECTS, text(OBJECTS)?, |it| serde_json::from_str(it).ok())?,
            update_manifest: annotations.get(UPDATE_MANIFEST).cloned(),
            flavor: annotations.get(FLAVOR).cloned(),
            ends_at: annotations.get(ENDS_AT).map(|it| parsed(ENDS_AT, it, |it| it.parse().ok())).transpose()?,
            credential,
            server_name,
            start_id,
        },
        is_adopted: annotations.get(ADOPTED).is_some_and(|it| it == "true"),
    })
}

fn parsed<'a, T>(
    key: &'static str,
    text: &'a str,
    read: impl FnOnce(&'a str) -> Option<T>,
) -> Result<T, RebuildDataError> {
    read(text).ok_or(RebuildDataError::Unreadable(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(user_options: Json, update_manifest: Option<&str>) -> NewService {
        let (server_name, start_id) = (ServerName::parse("My Lab").unwrap(), StartId::parse("s1").unwrap());
        let object = AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: Some("golden".to_owned()),
            name: "secret-x".to_owned(),
            uid: Some("of another time".to_owned()),
            is_workload: false,
            is_kept: false,
            address: None,
        };
        NewService {
            credential: Credential::parse("hub").unwrap(),
            object_id: ObjectId::new(&server_name, &start_id),
            server_name,
            start_id,
            service: ServiceName::parse("A/B").unwrap(),
            user_options,
            jhub_user_id: 7,
            start_date: "2026-11-20T10:45:39.779477Z".parse().unwrap(),
            namespace: "golden".to_owned(),
            objects: vec![object],
            update_manifest: update_manifest.map(str::to_owned),
            flavor: Some("small".to_owned()),
            ends_at: Some("2026-11-21T10:45:39.779477Z".parse().unwrap()),
        }
    }

    /// The owner's labels and annotations as `Ownership` and this file write them.
    fn metadata(new: &NewService, is_adopted: bool) -> [BTreeMap<String, String>; 2] {
        let mark = Mark::new("i1", &new.credential, &new.server_name, &new.start_id, new.start_date);
        let labels = mark.labels().map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let names = [
            (CREDENTIAL, new.credential.to_string()),
            (SERVER_NAME, new.server_name.to_string()),
            (START_ID, new.start_id.to_string()),
            (SERVICE_NAME, new.service.to_string()),
            (USER_ID, new.jhub_user_id.to_string()),
        ];
        let all = names.into_iter().chain(annotations(new, is_adopted));
        [labels, all.map(|(key, value)| (key.to_owned(), value)).collect()]
    }

    const UPDATE: &str = "{apiVersion: v1, kind: Service, metadata: {name: a}}";

    #[test]
    fn a_record_is_read_back_as_it_was() {
        let options = Json::parse(br#"{"service":"A/B","n":1.0,"z":[null,12345678901234567890123]}"#).unwrap();
        let new = new(options, Some(UPDATE));
        for is_adopted in [false, true] {
            let [labels, annotations] = metadata(&new, is_adopted);
            let read = read("i1", "golden", &labels, &annotations).unwrap();
            let bare = AppliedObject { uid: None, ..new.objects[0].clone() };
            assert_eq!(read.is_adopted, is_adopted);
            assert_eq!(read.new.objects, [bare]);
            assert_eq!((read.new.flavor, read.new.ends_at), (new.flavor.clone(), new.ends_at));
            assert_eq!((read.new.user_options, read.new.start_date), (new.user_options.clone(), new.start_date));
            assert_eq!(
                (read.new.object_id, read.new.update_manifest),
                (new.object_id.clone(), Some(UPDATE.to_owned()))
            );
        }
    }

    #[test]
    fn what_could_be_a_secret_is_left_out() {
        let secret = "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {password: hunter2}}";
        for update in [secret, "not: [yaml"] {
            let [_, annotations] = metadata(&new(Json::empty_object(), Some(update)), false);
            assert!(!annotations.contains_key(UPDATE_MANIFEST), "{update}");
        }
    }

    #[test]
    fn annotations_stay_within_what_kubernetes_takes() {
        let long = "x".repeat(LONGEST_USER_OPTIONS - 100);
        let text = Json::Object(vec![("service".to_owned(), Json::String(long))]);
        let mut many = new(text, Some(&format!("{UPDATE} # {}", "x".repeat(LONGEST_OTHER - 100))));
        many.objects = (0..2000).map(|_| many.objects[0].clone()).collect();
        let [_, all] = metadata(&many, false);
        let size: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(size <= 256 * 1024, "{size}");
        assert!(all.contains_key(USER_OPTIONS) && all.contains_key(UPDATE_MANIFEST));

        let longer = Json::Object(vec![("x".to_owned(), Json::String("x".repeat(LONGEST_USER_OPTIONS)))]);
        let [labels, all] = metadata(&new(longer, None), false);
        let read = read("i1", "golden", &labels, &all).unwrap();
        assert_eq!(read.new.user_options.to_text(), r#"{"service":"A/B"}"#);
    }

    #[test]
    fn an_owner_that_somebody_changed_is_refused() {
        let [labels, annotations] = metadata(&new(Json::empty_object(), None), false);
        let with = |key: &str, value: &str| {
            let mut changed = annotations.clone();
            changed.insert(key.to_owned(), value.to_owned());
            read("i1", "golden", &labels, &changed).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(SERVER_NAME, "Another Lab"), RebuildDataError::Changed);
        assert_eq!(with(START_DATE, "2026-11-20T10:45:39Z"), RebuildDataError::Changed);
        assert_eq!(with(OBJECT_ID, "../../etc"), RebuildDataError::Unreadable(OBJECT_ID));
        assert_eq!(with(OBJECT_ID, ".."), RebuildDataError::Unreadable(OBJECT_ID));
        assert_eq!(with(ENDS_AT, "never"), RebuildDataError::Unreadable(ENDS_AT));
        assert_eq!(with(OBJECTS, "[{}]"), RebuildDataError::Unreadable(OBJECTS));
        let without = read("i1", "golden", &labels, &BTreeMap::new()).map(|_| ()).unwrap_err();
        assert_eq!(without, RebuildDataError::Missing(CREDENTIAL));
        assert_eq!(read("i2", "golden", &labels, &annotations).map(|_| ()).unwrap_err(), RebuildDataError::Changed);
    }
}
