//! Reads a file into a book. What the reference would stumble over later, or pass over in silence, is refused here.

use super::book::{Book, Entries, HubSet, Names, UserSet, Values};
use super::entries::Entry;
use super::pattern::Pattern;
use crate::description::{YamlError, ordered_documents};
use crate::domain::Json;

/// A file is at most this large.
pub const MOST_BYTES: usize = 1024 * 1024;

/// What a file says, and what an operator should hear about it.
#[derive(Clone, Debug)]
pub struct Parsed<E> {
    pub book: Book<E>,
    pub warnings: Vec<RuleError>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("not YAML: {0}")]
    Yaml(#[from] YamlError),
    #[error("it holds several documents; one is wanted")]
    Several,
    #[error("`{}`: {reason}", path.join("."))]
    Value { path: Vec<String>, reason: String },
}

type Members = [(String, Json)];

/// Where something stands in the file.
#[derive(Clone)]
struct Path(Vec<String>);

impl Path {
    fn key(&self, key: &str) -> Self {
        let mut path = self.0.clone();
        path.extend(key.split('.').filter(|it| !it.is_empty()).map(str::to_owned));
        Self(path)
    }

    /// The name of a set or an entry, whatever stands in it.
    fn name(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    fn wrong(&self, reason: impl Into<String>) -> RuleError {
        let path = if self.0.is_empty() { vec!["the whole file".to_owned()] } else { self.0.clone() };
        RuleError::Value { path, reason: reason.into() }
    }
}

/// `None`: the file is empty, so that nothing is asked for.
pub fn parse<E: Entry>(text: &str) -> Result<Option<Parsed<E>>, RuleError> {
    if text.len() > MOST_BYTES {
        return Err(RuleError::TooLarge);
    }
    let top = Path(Vec::new());
    let mut documents = ordered_documents(text)?.into_iter();
    let whole = match (documents.next().flatten(), documents.next()) {
        (_, Some(_)) => return Err(RuleError::Several),
        (None, None) => return Ok(None),
        (Some(Json::Object(members)), None) if members.is_empty() => return Ok(None),
        (Some(whole), None) => whole,
    };
    let members = mapping(&whole, &top)?;
    let mut reader = Reader { source: &[], warnings: Vec::new() };
    reader.unknown_keys(members, &[E::KEY, "hubs", "users"], &top);
    let all = whole.get(E::KEY).ok_or_else(|| top.key(E::KEY).wrong("is missing"))?;
    reader.source = mapping(all, &top.key(E::KEY))?;
    let all = entries(reader.source, &top.key(E::KEY))?;
    let sets = |key: &str| match whole.get(key) {
        None | Some(Json::Null) => Ok(&[][..]),
        Some(sets) => mapping(sets, &top.key(key)),
    };
    let hubs = sets("hubs")?.iter().map(|(name, set)| reader.hub_set::<E>(set, &top.key("hubs").name(name)));
    let hubs = hubs.collect::<Result<_, _>>()?;
    let users = sets("users")?.iter().map(|(name, set)| reader.user_set::<E>(set, &top.key("users").name(name)));
    let users = users.collect::<Result<_, _>>()?;
    Ok(Some(Parsed { book: Book { all, hubs, users }, warnings: reader.warnings }))
}

fn entries<E: Entry>(members: &Members, path: &Path) -> Result<Entries<E>, RuleError> {
    let read = |(name, value): &(String, Json)| {
        let entry = E::read(value).map_err(|(key, reason)| path.name(name).key(&key).wrong(reason))?;
        Ok((name.clone(), entry))
    };
    members.iter().map(read).collect()
}

struct Reader<'a> {
    /// All entries as they are in the file.
    source: &'a Members,
    warnings: Vec<RuleError>,
}

impl Reader<'_> {
    fn hub_set<E: Entry>(&mut self, set: &Json, path: &Path) -> Result<HubSet<E>, RuleError> {
        let members = mapping(set, path)?;
        self.unknown_keys(members, &["jupyterhub_name", "weight", E::KEY, E::OVERRIDES], path);
        let place = path.key("jupyterhub_name");
        let hubs = match set.get("jupyterhub_name") {
            None => {
                self.warnings.push(place.wrong("is missing: the set is nobody's"));
                Names::List(Vec::new())
            }
            Some(Json::String(pattern)) => Names::Pattern(Pattern::parse(pattern).map_err(|it| place.wrong(it))?),
            Some(names @ Json::List(_)) => Names::List(texts(names, &place)?),
            Some(_) => return Err(place.wrong("must be a list of names, or a pattern")),
        };
        Ok(HubSet { hubs, entries: self.subset(set, path)? })
    }

    fn user_set<E: Entry>(&mut self, set: &Json, path: &Path) -> Result<UserSet<E>, RuleError> {
        const KEYS: [&str; 5] = ["hubs", "authentication", "negate_authentication", "weight", "forbidden"];
        let members = mapping(set, path)?;
        self.unknown_keys(members, &[&KEYS[..], &[E::KEY, E::OVERRIDES]].concat(), path);
        let place = path.key("authentication");
        let is_negated = flag(set, "negate_authentication", path)?;
        let wanted = match set.get("authentication") {
            None => {
                self.warnings.push(place.wrong(match is_negated {
                    true => "is missing: everybody matches of whom the hub says anything",
                    false => "is missing: nobody matches",
                }));
                Vec::new()
            }
            Some(wanted) => mapping(wanted, &place)?
                .iter()
                .map(|(key, values)| Ok((key.clone(), wanted_values(values, &place.name(key))?)))
                .collect::<Result<_, RuleError>>()?,
        };
        let weight = match set.get("weight") {
            None => 0.0,
            Some(Json::Integer(digits)) => digits.parse().unwrap_or(0.0),
            Some(Json::Float(number)) => *number,
            Some(_) => return Err(path.key("weight").wrong("must be a number")),
        };
        Ok(UserSet {
            hubs: set.get("hubs").map(|it| texts(it, &path.key("hubs"))).transpose()?,
            wanted,
            is_negated,
            weight,
            is_forbidden: flag(set, "forbidden", path)?,
            entries: self.subset(set, path)?,
        })
    }

    /// Of all entries those that a set names, as it changes them.
    fn subset<E: Entry>(&mut self, set: &Json, path: &Path) -> Result<Entries<E>, RuleError> {
        let named = set.get(E::KEY).map(|it| texts(it, &path.key(E::KEY))).transpose()?;
        for unknown in named.iter().flatten().filter(|it| !self.source.iter().any(|(name, _)| name == *it)) {
            self.warnings.push(path.key(E::KEY).wrong(format!("there is no `{}`", unknown.escape_debug())));
        }
        let is_named = |name: &String| named.as_ref().is_none_or(|it| it.contains(name));
        let mut subset: Vec<(String, Json)> = self.source.iter().filter(|(name, _)| is_named(name)).cloned().collect();
        let place = path.key(E::OVERRIDES);
        let overrides = match set.get(E::OVERRIDES) {
            None => &[][..],
            Some(overrides) => mapping(overrides, &place)?,
        };
        for (name, values) in overrides {
            let values = mapping(values, &place.name(name))?;
            let Some((_, entry)) = subset.iter_mut().find(|(known, _)| known == name) else {
                self.warnings.push(place.name(name).wrong("is not among those of the set: without effect"));
                continue;
            };
            let Json::Object(members) = entry else {
                return Err(place.name(name).wrong("cannot change a plain value"));
            };
            for (key, value) in values {
                match members.iter_mut().find(|(known, _)| known == key) {
                    Some((_, old)) => *old = value.clone(),
                    None => members.push((key.clone(), value.clone())),
                }
            }
        }
        // What is wrong in itself was told before: this is about what was changed.
        entries(&subset, &place)
    }

    fn unknown_keys(&mut self, members: &Members, known: &[&str], path: &Path) {
        let unknown = members.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        self.warnings.extend(unknown.map(|(key, _)| path.name(key).wrong("is not known and is ignored")));
    }
}

fn mapping<'a>(value: &'a Json, path: &Path) -> Result<&'a Members, RuleError> {
    match value {
        Json::Object(members) => Ok(members),
        _ => Err(path.wrong("must be a mapping")),
    }
}

fn texts(value: &Json, path: &Path) -> Result<Vec<String>, RuleError> {
    let Json::List(items) = value else { return Err(path.wrong("must be a list of names")) };
    let text = |it: &Json| it.as_str().map(str::to_owned).ok_or_else(|| path.wrong("must be a list of texts"));
    items.iter().map(text).collect()
}

fn wanted_values(values: &Json, path: &Path) -> Result<Values, RuleError> {
    match values {
        Json::String(pattern) => Ok(Values::Pattern(Pattern::parse(pattern).map_err(|it| path.wrong(it))?)),
        Json::List(items) => Ok(Values::List(items.clone())),
        _ => Err(path.wrong("must be a pattern, or a list of values")),
    }
}

fn flag(set: &Json, key: &str, path: &Path) -> Result<bool, RuleError> {
    match set.get(key) {
        None | Some(Json::Null) => Ok(false),
        Some(Json::Bool(value)) => Ok(*value),
        Some(_) => Err(path.key(key).wrong("must be true or false")),
    }
}
