//! `docs/metrics.md`, made from the table.

use std::fmt::Write;

use super::process;
use super::table::{Kind, METRICS, Metric};

pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from `src/metrics/table.rs` by `k8smgr docs`; change it there.\n\n\
         `GET /metrics` gives them in the text format of Prometheus, without a login: it names hubs, kinds and counts, and \
         nothing of users. `metrics.enabled` switches it off; `metrics.listen` serves it (with `/livez` and `/readyz`) on an \
         address and port of its own instead, which a NetworkPolicy may keep to Prometheus.\n\n\
         A metric appears when there was something to count. Labels take few values: routes and reasons are fixed lists, \
         credentials are the hubs that have a login.\n\n\
         | Metric | Type | Unit | Labels | Meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for Metric { name, kind, labels, help } in METRICS {
        let (kind, buckets) = match kind {
            Kind::Counter => ("counter", String::new()),
            Kind::Gauge => ("gauge", String::new()),
            Kind::Histogram(buckets) => {
                let bounds: Vec<_> = buckets.iter().map(ToString::to_string).collect();
                ("histogram", format!(" Buckets: {}.", bounds.join(", ")))
            }
        };
        let labels: Vec<_> = labels.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {} | {help}{buckets} |", unit(name), labels.join(", "));
    }
    for (name, kind, help) in process::METRICS {
        let _ = writeln!(text, "| `{name}` | {kind} | {} |  | {help} |", unit(name));
    }
    text
}

fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "seconds",
        Some("bytes") => "bytes",
        _ => "",
    }
}
