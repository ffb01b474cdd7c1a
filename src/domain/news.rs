//! What happens to a start, for those who tell hubs about it: announced by the use cases, which know nobody who listens.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::record::Details;
use super::{AppliedObject, Credential, Moment, ObjectId};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum News {
    /// It is written down; nothing is made yet.
    Begun(Box<BegunStart>),
    /// Everything is made, and its hub is answered, unless it waits for the server to be up (`BegunStart::is_awaited`).
    Made { sequence: i64 },
    /// The hub that waited for the server to be up was told that it is.
    Answered { sequence: i64 },
    /// It is over by itself, and a poll says so with these words.
    Ended { sequence: i64, details: Details },
    /// It was stopped, or failed with its hub's answer: nobody waits for it.
    Gone { sequence: i64 },
    /// A service of a hub with Outpost's protocol was written down, or changed its state, by whichever process.
    Counted(Box<CountedService>),
    /// Any of them may have.
    AllCounted,
    /// Its time is over soon, and its user is to be warned.
    EndsSoon(Box<EndingService>),
}

/// A service that will be stopped because its time is over.
#[derive(Clone, Debug)]
pub struct EndingService {
    pub sequence: i64,
    pub credential: Credential,
    /// Its hub speaks Outpost's protocol.
    pub is_of_outpost: bool,
    /// The Secret with its environment.
    pub owner: AppliedObject,
    pub ends_at: Timestamp,
    pub left: SignedDuration,
}

/// A service of a hub that is told how many there are.
#[derive(Clone, Debug)]
pub struct CountedService {
    pub sequence: i64,
    pub credential: Credential,
    /// The Secret with its environment, once it is there.
    pub owner: Option<AppliedObject>,
}

impl News {
    /// The start that it is about; `None`: of any.
    pub fn sequence(&self) -> Option<i64> {
        match self {
            News::Begun(begun) => Some(begun.start.sequence),
            News::Counted(counted) => Some(counted.sequence),
            News::Made { sequence }
            | News::Answered { sequence }
            | News::Ended { sequence, .. }
            | News::Gone { sequence } => Some(*sequence),
            News::EndsSoon(ending) => Some(ending.sequence),
            News::AllCounted => None,
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
    pub address: HubAddress,
    /// Its hub waits with its request until the server is up: the answer tells a failure.
    pub is_awaited: bool,
}

/// A start whose server does not run yet.
#[derive(Clone, Debug)]
pub struct StartUnderWay {
    pub sequence: i64,
    pub credential: Credential,
    /// Its hub speaks Outpost's protocol.
    pub is_of_outpost: bool,
    pub object_id: ObjectId,
    pub start_date: Timestamp,
    /// What its pods carry in the label of the service.
    pub label: String,
    /// The Secret with its environment, which owns all else.
    pub owner: AppliedObject,
    /// Where its pods are.
    pub namespaces: Vec<String>,
}

/// What the environment of a start says of its hub. Printed without tokens.
#[derive(Clone, Debug)]
pub struct HubAddress {
    /// `JUPYTERHUB_API_URL`.
    pub api_url: Option<String>,
    /// Where the hub hears of the steps of the start.
    pub steps: Option<NamedUrl>,
    /// `JUPYTERHUB_API_TOKEN`: the server's own.
    pub token: Option<SecretString>,
    /// `JUPYTERHUB_FLAVORS_UPDATE_URL`.
    pub flavors: Option<NamedUrl>,
    /// `JUPYTERHUB_FLAVORS_UPDATE_TOKEN`.
    pub flavors_token: Option<SecretString>,
    /// `JUPYTERHUB_SETUPTUNNEL_URL`.
    pub tunnel: Option<NamedUrl>,
}

/// A URL and the variable that it stands in: beneath the hub's API, or whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUrl {
    pub variable: &'static str,
    pub text: String,
}

const STATUS_URL: &str = "JUPYTERHUB_STATUS_URL";
const EVENTS_URL: &str = "JUPYTERHUB_EVENTS_URL";

impl HubAddress {
    /// `value` looks a variable up. Of `JUPYTERHUB_EVENTS_URL` and `JUPYTERHUB_STATUS_URL` the one of the hub's own protocol comes
    /// first.
    pub fn of_environment(is_of_outpost: bool, value: impl Fn(&str) -> Option<String>) -> Self {
        let present = |name: &str| value(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let url = |variable| present(variable).map(|text| NamedUrl { variable, text });
        let token = |name| present(name).map(SecretString::from);
        let (own, other) = if is_of_outpost { (EVENTS_URL, STATUS_URL) } else { (STATUS_URL, EVENTS_URL) };
        Self {
            api_url: present("JUPYTERHUB_API_URL"),
            steps: url(own).or_else(|| url(other)),
            token: token("JUPYTERHUB_API_TOKEN"),
            flavors: url("JUPYTERHUB_FLAVORS_UPDATE_URL"),
            flavors_token: token("JUPYTERHUB_FLAVORS_UPDATE_TOKEN"),
            tunnel: url("JUPYTERHUB_SETUPTUNNEL_URL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_hub_s_own_protocol_comes_first_and_no_token_is_printed() {
        let both = |name: &str| Some(format!(" {}-value ", name.to_lowercase()));
        let steps = |is_of_outpost| HubAddress::of_environment(is_of_outpost, both).steps.map(|it| it.variable);
        assert_eq!((steps(true), steps(false)), (Some(EVENTS_URL), Some(STATUS_URL)));
        let one = |name: &str| (name == EVENTS_URL).then(|| "x".to_owned());
        assert_eq!(HubAddress::of_environment(false, one).steps.map(|it| it.variable), Some(EVENTS_URL));
        let printed = format!("{:?}", HubAddress::of_environment(true, both));
        assert!(printed.contains("jupyterhub_events_url-value") && !printed.contains("token-value"), "{printed}");
    }
}
