//! Metrics, log handlers, signals and what counts SQL belong to the process. Where tests share one (`cargo test`; nextest
//! gives each its own), whoever looks at them runs alone.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct Turns {
    together: usize,
    is_alone: bool,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { together: 0, is_alone: false });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

fn wait_while(blocks: impl Fn(&Turns) -> bool) -> MutexGuard<'static, Turns> {
    let turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    CHANGED.wait_while(turns, |it| blocks(it)).unwrap_or_else(PoisonError::into_inner)
}

fn change(how: impl FnOnce(&mut Turns)) {
    how(&mut TURNS.lock().unwrap_or_else(PoisonError::into_inner));
    CHANGED.notify_all();
}

/// What every K8s Manager of a test holds.
pub struct Together {
    counts: bool,
}

pub fn together() -> Together {
    let counts = !IS_ALONE.get();
    if counts {
        wait_while(|it| it.is_alone).together += 1;
    }
    Together { counts }
}

impl Drop for Together {
    fn drop(&mut self) {
        if self.counts {
            change(|it| it.together -= 1);
        }
    }
}

/// For a whole test, on its own thread.
pub struct Alone(PhantomData<*const ()>);

pub fn alone() -> Alone {
    wait_while(|it| it.is_alone || it.together > 0).is_alone = true;
    IS_ALONE.set(true);
    Alone(PhantomData)
}

impl Drop for Alone {
    fn drop(&mut self) {
        IS_ALONE.set(false);
        change(|it| it.is_alone = false);
    }
}
