//! What rendering costs: nothing is called, so the figure is a time of its own and no ratio.

use std::time::Instant;

use k8smgr_bench::pure::Rendering;

use super::Conditions;
use crate::report::{Bar, Report};

const INPUT: usize = 1024 * 1024;
const COUNT: usize = 20;

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let rendering = Rendering::new(INPUT)?;
    for _ in 0..conditions.runs {
        let began = Instant::now();
        let chosen = rendering.read();
        let first = began.elapsed();
        let began = Instant::now();
        for _ in 0..COUNT {
            rendering.render(&chosen)?;
        }
        let each = began.elapsed().as_secs_f64() * 1000.0 / COUNT as f64;
        report.add("render: with 1 MiB of input", "ms", Bar::AtMost(30.0), each);
        report.add("render: to read, pack and try it first", "ms", Bar::None, first.as_secs_f64() * 1000.0);
    }
    Ok(())
}
