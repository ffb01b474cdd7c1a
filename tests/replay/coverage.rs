//! That every record belongs to exactly one scenario, or to what is built later, with the reason.

use std::collections::BTreeMap;

use crate::support::records::{self, Claims, Scenario, claim_strength};
use crate::*;

/// Who looks at which records.
pub const SCENARIOS: &[(&str, Claims)] = &[
    ("bad_posts", bad_posts::CLAIMS),
    ("configurations", configurations::CLAIMS),
    ("conflicts", conflicts::CLAIMS),
    ("credentials", credentials::CLAIMS),
    ("edges", edges::CLAIMS),
    ("home_and_startup", home_and_startup::CLAIMS),
    ("names", names::CLAIMS),
    ("outage", outage::CLAIMS),
    ("reloads", reloads::CLAIMS),
    ("restart_notices", restart_notices::CLAIMS),
    ("routes", routes::CLAIMS),
    ("starts", starts::CLAIMS),
    ("states", states::CLAIMS),
    ("stuck", stuck::CLAIMS),
    ("update_and_delete", update_and_delete::CLAIMS),
    ("user_jobs", user_jobs::CLAIMS),
    (
        // They are one process's: tests of them must not run beside others.
        "tests/log_handlers",
        &["log.*", "authz.admin.GET./api/logs/handler/", "route.options.handler", "route.options.logtest"],
    ),
];

/// The owners of a record: those with the strongest claim.
pub fn owners(id: &str) -> Vec<&'static str> {
    let claim = |claims: Claims| claims.iter().filter_map(|claim| claim_strength(claim, id)).max();
    let strongest = SCENARIOS.iter().filter_map(|(_, claims)| claim(claims)).max();
    let owns = |(_, claims): &&(&str, Claims)| strongest.is_some() && claim(claims) == strongest;
    SCENARIOS.iter().filter(owns).map(|(name, _)| *name).collect()
}

/// The records of the scenario `name`.
pub fn scenario(name: &str) -> Scenario {
    Scenario::new(|id| owners(id) == [name])
}

#[test]
fn every_record_has_exactly_one_owner() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records::all() {
        match owners(&record.id).as_slice() {
            [owner] => *counts.entry(owner).or_default() += 1,
            others => panic!("{} belongs to {others:?}", record.id),
        }
    }
    assert_eq!(counts.values().sum::<usize>(), 475);
    let idle: Vec<_> = SCENARIOS.iter().filter(|(name, _)| !counts.contains_key(name)).collect();
    assert!(idle.is_empty(), "own nothing: {idle:?}");
    let unclaimed = |claim: &&&str| !records::all().iter().any(|it| claim_strength(claim, &it.id).is_some());
    let stale: Vec<_> = SCENARIOS.iter().flat_map(|(_, claims)| claims.iter()).filter(unclaimed).collect();
    assert!(stale.is_empty(), "name no record: {stale:?}");
}
