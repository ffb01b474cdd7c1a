//! The table of types: `types.txt`, read once.

use std::collections::HashMap;
use std::sync::OnceLock;

#[derive(Debug)]
pub enum FieldType {
    String,
    Bool,
    Int32,
    Int64,
    Float,
    Bytes,
    Time,
    Quantity,
    IntOrString,
    /// Anything goes, as in a patch's raw objects.
    Any,
    Message(String),
}

impl FieldType {
    fn parse(text: &str) -> Self {
        match text {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float,
            "bytes" => Self::Bytes,
            "time" => Self::Time,
            "quantity" => Self::Quantity,
            "intorstring" => Self::IntOrString,
            "any" => Self::Any,
            message => Self::Message(message.to_owned()),
        }
    }

    /// As Go's messages name it.
    pub fn go_name(&self) -> String {
        match self {
            Self::String => "string".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Int32 => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Float => "float64".to_owned(),
            Self::Bytes => "[]uint8".to_owned(),
            Self::Time => "v1.Time".to_owned(),
            Self::Quantity => "resource.Quantity".to_owned(),
            Self::IntOrString => "intstr.IntOrString".to_owned(),
            Self::Any => "interface {}".to_owned(),
            Self::Message(name) => name.split_once('.').map_or(name.as_str(), |(_, rest)| rest).to_owned(),
        }
    }
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub list: bool,
    pub map: bool,
    /// Embedded in Go: its fields stand in the outer object.
    pub embedded: bool,
    pub kind: FieldType,
}

#[derive(Debug)]
pub struct Message {
    pub go_name: String,
    pub fields: Vec<Field>,
}

impl Message {
    /// The field of that JSON name, also where it is in an embedded message.
    pub fn field(&'static self, name: &str) -> Option<&'static Field> {
        if let Some(found) = self.fields.iter().find(|it| !it.embedded && it.name == name) {
            return Some(found);
        }
        self.fields.iter().filter(|it| it.embedded).find_map(|it| match &it.kind {
            FieldType::Message(inner) => find(inner)?.field(name),
            _ => None,
        })
    }
}

/// A message by its full name: `apps.v1.DeploymentSpec`.
pub fn find(name: &str) -> Option<&'static Message> {
    static TABLE: OnceLock<HashMap<String, Message>> = OnceLock::new();
    TABLE.get_or_init(|| include_str!("types.txt").lines().filter_map(read_line).collect()).get(name)
}

fn read_line(line: &str) -> Option<(String, Message)> {
    let mut words = line.split(' ').filter(|_| !line.starts_with('#'));
    let (package, go_name) = (words.next()?, words.next()?);
    let fields = words.filter_map(read_field).collect();
    Some((format!("{package}.{go_name}"), Message { go_name: go_name.to_owned(), fields }))
}

fn read_field(text: &str) -> Option<Field> {
    let (name, rest) = text.split_once('=')?;
    let (number, kind) = rest.split_once(':')?;
    let (list, kind) = kind.strip_prefix("[]").map_or((false, kind), |it| (true, it));
    let (map, kind) = kind.strip_prefix('%').map_or((false, kind), |it| (true, it));
    Some(Field {
        name: name.to_owned(),
        number: number.parse().ok()?,
        list,
        map,
        embedded: name == "~",
        kind: FieldType::parse(kind),
    })
}
