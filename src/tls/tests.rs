//! What a certificate's dates mean.

use std::time::Duration;

use jiff::Timestamp;

use super::Validity;

const DAY: Duration = Duration::from_secs(86_400);

fn validity(days_before: i64, days_after: i64, now: Timestamp) -> Validity {
    let at = |days: i64| Timestamp::from_second(now.as_second() + days * 86_400).unwrap();
    Validity { not_before: at(-days_before), not_after: at(days_after) }
}

#[test]
fn what_ends_soon_depends_on_the_whole_time() {
    let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let ends_soon = |before, after| validity(before, after, now).ends_soon(now, 3, 30 * DAY);
    // A year's certificate by the month, one for a day (as meshes issue them) by its last third.
    assert!(ends_soon(340, 25) && !ends_soon(300, 65));
    assert!(ends_soon(6, 2) && !ends_soon(4, 4));
    assert!(ends_soon(340, -1), "it has ended");
}

#[test]
fn a_certificate_is_valid_between_its_dates() {
    let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    assert_eq!(validity(1, 1, now).problem(now), None);
    assert!(validity(3, -1, now).problem(now).unwrap().what().contains("has expired, at 2026-11-19T10:00:00Z"));
    assert!(validity(-1, 3, now).problem(now).unwrap().what().contains("not valid before 2026-11-21T10:00:00Z"));
}
