//! How long a container that ended waits before it is started again. Pure: the caller brings the time.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long has its past forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// A kubelet's crash back-off: at once, then 10 s, doubling to 5 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashBackoff {
    next: Duration,
}

impl CrashBackoff {
    /// A container that has been started before starts waiting with the shortest time.
    pub fn after_restarts(count: u32) -> Self {
        let doubled = FIRST.saturating_mul(2u32.saturating_pow(count.saturating_sub(1).min(10)));
        Self { next: if count == 0 { Duration::ZERO } else { doubled.min(LONGEST) } }
    }

    /// The wait after a run of `ran`, and the longer one the time after.
    pub fn wait(&mut self, ran: Duration) -> Duration {
        if ran >= FORGOTTEN_AFTER {
            self.next = Duration::ZERO;
        }
        let now = self.next;
        self.next = if now.is_zero() { FIRST } else { (now * 2).min(LONGEST) };
        now
    }
}

/// As Go prints a duration of whole seconds: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_five_minutes_and_a_long_run_forgets_it() {
        let mut backoff = CrashBackoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u64> = (0..8).map(|_| backoff.wait(short).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.wait(Duration::from_secs(600)).as_secs(), 0);
        assert_eq!(backoff.wait(short).as_secs(), 10);
        assert_eq!(CrashBackoff::after_restarts(3).wait(short).as_secs(), 40);
        assert_eq!(CrashBackoff::after_restarts(0), CrashBackoff::default());
    }

    #[test]
    fn durations_read_as_a_kubelet_prints_them() {
        let text = [10, 80, 300].map(|it| go_duration(Duration::from_secs(it)));
        assert_eq!(text, ["10s", "1m20s", "5m0s"]);
    }
}
