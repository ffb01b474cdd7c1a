//! What happens to a start, for those who tell hubs about it: announced by the use cases, which know nobody who listens.

use jiff::Timestamp;
use secrecy::SecretString;

use super::record::Details;
use super::{AppliedObject, Credential, Moment, ObjectId};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum News {
    /// It is written down; nothing is made yet.
    Begun(Box<BegunStart>),
    /// Everything is made, and its hub is answered.
    Made { sequence: i64 },
    /// It is over by itself, and a poll says so with these words.
    Ended { sequence: i64, details: Details },
    /// It was stopped, or failed with its hub's answer: nobody waits for it.
    Gone { sequence: i64 },
}

impl News {
    pub fn sequence(&self) -> i64 {
        match self {
            News::Begun(begun) => begun.start.sequence,
            News::Made { sequence } | News::Ended { sequence, .. } | News::Gone { sequence } => *sequence,
        }
    }
}

/// A service that seems to be over to somebody who saw its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub sequence: i64,
    /// Its main container crashes again and again from the beginning: this start will not come up.
    pub has_crashed: bool,
}

/// A start and where its hub wants to hear of it.
#[derive(Clone, Debug)]
pub struct BegunStart {
    pub start: StartUnderWay,
    pub began: Moment,
    pub address: StatusAddress,
}

/// A start whose server does not run yet.
#[derive(Clone, Debug)]
pub struct StartUnderWay {
    pub sequence: i64,
    pub credential: Credential,
    pub object_id: ObjectId,
    pub start_date: Timestamp,
    /// What its pods carry in the label of the service.
    pub label: String,
    /// The Secret with its environment, which owns all else.
    pub owner: AppliedObject,
    /// Where its pods are.
    pub namespaces: Vec<String>,
}

/// What the environment of a start says of its hub. Printed without the token.
#[derive(Clone, Debug)]
pub struct StatusAddress {
    /// `JUPYTERHUB_API_URL`.
    pub api_url: Option<String>,
    /// `JUPYTERHUB_STATUS_URL`: beneath it, or whole.
    pub status_url: Option<String>,
    /// `JUPYTERHUB_API_TOKEN`: the server's own.
    pub token: Option<SecretString>,
}

impl StatusAddress {
    /// `value` looks a variable up.
    pub fn of_environment(value: impl Fn(&str) -> Option<String>) -> Self {
        let present = |name: &str| value(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        Self {
            api_url: present("JUPYTERHUB_API_URL"),
            status_url: present("JUPYTERHUB_STATUS_URL"),
            token: present("JUPYTERHUB_API_TOKEN").map(SecretString::from),
        }
    }
}
