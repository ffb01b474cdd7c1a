//! Named points at which a test lets this process die, as `kill -9` does. With the feature `fail-points` only: without
//! it `fail_point!` is nothing at all, and a release build cannot have it.
//!
//! `K8SMGR_KILL_AT=StopBetweenDeletions:3` kills the process when it comes to that point for the third time.

#[cfg(all(feature = "fail-points", not(debug_assertions)))]
compile_error!("the feature `fail-points` is for tests: leave it out of a release build");

/// Marks a point: `fail_point!(StartAfterRecord);`
macro_rules! fail_point {
    ($point:ident) => {{
        #[cfg(feature = "fail-points")]
        $crate::fail_points::reach($crate::fail_points::Point::$point);
    }};
}
pub(crate) use fail_point;

#[cfg(feature = "fail-points")]
pub use armed::{KILL_AT, Point, reach};

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The variable that orders a death.
    pub const KILL_AT: &str = "K8SMGR_KILL_AT";

    macro_rules! points {
        ($($point:ident)*) => {
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum Point { $($point),* }

            impl Point {
                pub const ALL: &[Point] = &[$(Point::$point),*];
            }
        };
    }

    points! {
        StartBeforeRecord StartAfterRecord StartAfterHome StartBetweenObjects StartAfterOwner StartAfterMounted
        StartAfterWorkload StartAfterFiles StartBeforeRunning StartAfterRunning StartBeforeRollBack
        HomeAfterFolder HomeWithinCopy HomeBeforeRename HomeAfterRename
        StopBeforeRecord StopAfterRecord StopBetweenDeletions StopBeforeOwner StopAfterObjects StopAfterFiles
        StopAfterRemoval
        SupersedeBeforeRecord SupersedeAfterRecord
        EndBeforeLatch EndAfterLatch EndAfterWorkload EndAfterNote
        UpdateBeforeRecord UpdateAfterRecord UpdateBetweenObjects UpdateAfterObjects
        NoticeAfterOwed NoticeBeforeTaken
        RecoverBegin RecoverBeforeStop RecoverAfterRecord RecoverAfterObjects RecoverBeforeWorkload RecoverEnd
        UserJobAfterPorts UserJobAfterService UserJobAfterConnection UserJobAfterForward UserJobBeforeRunning
        UserJobAfterRunning UserJobBeforeCancel UserJobAfterCancel UserJobAfterDeletion
    }

    impl Point {
        /// All but those within user jobs, which only whoever has an ssh server comes to.
        pub fn of_services() -> impl Iterator<Item = Point> {
            Self::ALL.iter().copied().filter(|it| *it < Point::UserJobAfterPorts)
        }

        pub fn of_user_jobs() -> impl Iterator<Item = Point> {
            Self::ALL.iter().copied().filter(|it| *it >= Point::UserJobAfterPorts)
        }
    }

    struct Order {
        point: Point,
        hits_left: AtomicU64,
    }

    static ORDER: OnceLock<Option<Order>> = OnceLock::new();

    /// Dies here when that was ordered.
    pub fn reach(point: Point) {
        let Some(order) = ORDER.get_or_init(read) else { return };
        if order.point == point && order.hits_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            eprintln!("killed at {point:?}");
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }

    fn read() -> Option<Order> {
        let text = std::env::var(KILL_AT).ok()?;
        let order = parse(&text);
        if order.is_none() {
            eprintln!("{KILL_AT}={text} names no point: ignored");
        }
        order
    }

    fn parse(text: &str) -> Option<Order> {
        let (name, hits) = text.split_once(':')?;
        let point = Point::ALL.iter().find(|it| format!("{it:?}") == name)?;
        Some(Order { point: *point, hits_left: AtomicU64::new(hits.parse().ok()?) })
    }
}
