//! What a look at the Lease says, by a table of times. No cluster is asked.

use super::*;

const DURATION: Duration = Duration::from_secs(10);

fn candidate() -> LeaseCandidate {
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let cluster = Cluster::new(kube::Client::try_from(config).unwrap(), "abc", crate::domain::Clock::default(), 50);
    LeaseCandidate::new(cluster, "hubs", "abc", DURATION)
}

fn held_by(holder: &str, renewed: &str) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(10),
        renew_time: Some(MicroTime(renewed.parse().unwrap())),
        lease_transitions: Some(4),
        ..LeaseSpec::default()
    };
    let metadata = ObjectMeta { resource_version: Some("7".to_owned()), ..ObjectMeta::default() };
    Lease { metadata, spec: Some(spec) }
}

fn claimed(look: Look) -> LeaseSpec {
    match look {
        Look::Claim(lease) => lease.spec.unwrap(),
        Look::Wait { holder } => panic!("waits for {holder}"),
    }
}

#[tokio::test]
async fn no_lease_and_a_free_one_are_claimed() {
    let mut it = candidate();
    let made = claimed(it.look(None, Instant::now()));
    assert_eq!((made.holder_identity.as_deref(), made.lease_transitions), (Some(it.identity.as_str()), Some(0)));
    let taken = it.look(Some(held_by("", "2026-11-20T10:00:00Z")), Instant::now());
    let Look::Claim(lease) = taken else { panic!("{taken:?}") };
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"), "who writes first wins");
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(5));
}

#[tokio::test]
async fn a_lease_is_over_when_it_did_not_change_for_its_duration_whatever_its_clock_says() {
    let mut it = candidate();
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let waits = Look::Wait { holder: "other".to_owned() };
    // Long ago by the other one's clock; but it was only seen now.
    assert_eq!(it.look(Some(held_by("other", "2001-01-01T00:00:00Z")), at(0)), waits);
    assert_eq!(it.look(Some(held_by("other", "2001-01-01T00:00:00Z")), at(9)), waits);
    // Renewed.
    assert_eq!(it.look(Some(held_by("other", "2001-01-01T00:00:02Z")), at(10)), waits);
    assert_eq!(it.look(Some(held_by("other", "2001-01-01T00:00:02Z")), at(19)), waits);
    assert_eq!(claimed(it.look(Some(held_by("other", "2001-01-01T00:00:02Z")), at(20))).lease_transitions, Some(5));
}

#[tokio::test]
async fn our_own_lease_is_renewed_and_keeps_when_it_began() {
    let mut it = candidate();
    let mut ours = held_by(&it.identity, "2001-01-01T10:00:00Z");
    let since = MicroTime("2001-01-01T09:00:00Z".parse().unwrap());
    ours.spec.as_mut().unwrap().acquire_time = Some(since.clone());
    let renewed = claimed(it.look(Some(ours.clone()), Instant::now()));
    assert_eq!((renewed.acquire_time, renewed.lease_transitions), (Some(since), Some(4)));
    assert!(renewed.renew_time > ours.spec.unwrap().renew_time);
}
