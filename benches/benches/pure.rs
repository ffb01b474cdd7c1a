//! The pure parts, by criterion: rendering, selection and archive, the status rule, the check of a login.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up ends")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use k8smgr_bench::pure::{Logins, Rendering, observation, status_rule};

const MIB: usize = 1024 * 1024;

fn rendering(criterion: &mut Criterion) {
    for (name, bytes) in [("small", 1024), ("1 MiB", MIB)] {
        let rendering = Rendering::new(bytes).unwrap();
        let chosen = rendering.read();
        criterion.bench_function(&format!("render, {name} of input"), |it| {
            it.iter(|| rendering.render(black_box(&chosen)).unwrap());
        });
        criterion.bench_function(&format!("select, pack and render, {name} of input"), |it| {
            it.iter(|| rendering.read());
        });
    }
    let rendering = Rendering::new(1024).unwrap();
    criterion.bench_function("labels of a start", |it| it.iter(|| rendering.mark()));
}

fn status(criterion: &mut Criterion) {
    let observation = observation();
    criterion.bench_function("status rule", |it| it.iter(|| status_rule(black_box(&observation))));
}

fn logins(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let logins = runtime.block_on(Logins::new()).unwrap();
    criterion.bench_function("a login that was good before", |it| {
        it.iter(|| runtime.block_on(logins.check()).unwrap());
    });
}

criterion_group!(pure, rendering, status, logins);
criterion_main!(pure);
