//! Waiting by the process's own clock, which tests move.

use std::time::Duration;

use crate::domain::Clock;

const TICK: Duration = Duration::from_millis(100);

pub async fn pause(clock: &Clock, duration: Duration) {
    let began = clock.moment();
    while clock.moment().since(began) < duration {
        tokio::time::sleep(TICK).await;
    }
}
