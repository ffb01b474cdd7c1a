//! Which kills, in which order.

use std::time::Duration;

use k8smgr::fail_points::Point;
use rand::RngExt;
use rand::rngs::StdRng;

use super::crasher::{Crasher, Kill, Weather};

/// Work goes on for about as long.
const LONGEST_MS: u64 = 500;

/// Points that work comes to many times a round.
const FREQUENT: [Point; 3] = [Point::StartBetweenObjects, Point::StopBetweenDeletions, Point::HomeWithinCopy];

/// Kills at a point, at a random visit of it. The way there is made first: what recovery does has to be left to do.
pub async fn kill_at(crasher: &mut Crasher, point: Point, rng: &mut StdRng) -> Result<(), String> {
    let most = if FREQUENT.contains(&point) { 8 } else { 2 };
    let hit = if before(point).is_some() { 1 } else { rng.random_range(1..=most) };
    // Where a round does not come there as often, the first visit is taken.
    for hit in [hit, 1, 1] {
        if let Some(first) = before(point) {
            crasher.round(Kill::At(first, 1)).await?;
        }
        if crasher.round(Kill::At(point, hit)).await? {
            return Ok(());
        }
    }
    Err(format!("{point:?} was not reached"))
}

/// Where the process has to die first for recovery to come to a point.
fn before(point: Point) -> Option<Point> {
    match point {
        Point::RecoverBeforeStop | Point::RecoverAfterRecord | Point::RecoverAfterObjects => {
            Some(Point::StartAfterMounted)
        }
        Point::RecoverBeforeWorkload => Some(Point::EndAfterLatch),
        _ => None,
    }
}

pub fn random_instant(weather: Weather, rng: &mut StdRng) -> Kill {
    Kill::After(Duration::from_millis(rng.random_range(0..LONGEST_MS)), weather)
}
