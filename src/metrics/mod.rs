//! What operators count: the names, the recorder of this process, and the text that Prometheus reads.
//!
//! Other rooms count with the macros of the crate `metrics`; where it happens often they keep the handle. Nothing
//! here knows what is counted.

mod process;
pub mod reference;
mod starting;
pub mod table;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use starting::{gave_up, is_running, not_running, started};

use self::table::{Kind, METRICS};

/// Histograms keep single values until they are read or looked after: this often, whether or not anybody reads.
const UPKEEP: Duration = Duration::from_secs(5);

/// Everything this process counts, as text for Prometheus.
pub fn page() -> String {
    let mut text = recorder().render();
    process::write(&mut text);
    text
}

/// Begins to count. What was counted before the first call is lost.
pub fn begin() {
    recorder();
    metrics::gauge!("k8smgr_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// Keeps memory bounded while nobody reads the page. Runs until it is aborted.
pub async fn upkeep_forever() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        let _ = tokio::task::spawn_blocking(|| recorder().run_upkeep()).await;
    }
}

/// The recorder of this process, made once.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let histograms = METRICS.iter().filter_map(|it| match it.kind {
            Kind::Histogram(buckets) => Some((it.name, buckets)),
            _ => None,
        });
        let recorder = histograms.fold(PrometheusBuilder::new(), with_buckets).build_recorder();
        let handle = recorder.handle();
        // Another one can only be there where this library is used inside another program: then that one counts.
        let _ = metrics::set_global_recorder(recorder);
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
                Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
            }
        }
        handle
    })
}

fn with_buckets(builder: PrometheusBuilder, (name, buckets): (&str, &[f64])) -> PrometheusBuilder {
    // The only error is that there are no buckets; a test looks at the table.
    builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names: Vec<_> = METRICS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len(), "a name twice");
        for Metric { name, kind, labels, help } in METRICS {
            assert!(
                name.starts_with("k8smgr_") && name.chars().all(|c| c.is_ascii_lowercase() || "_8".contains(c)),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                *kind == Kind::Counter,
                "{name}: counters end in _total, others do not"
            );
            assert!(labels.iter().all(|it| !["le", "quantile", "job", "instance"].contains(it)), "{name}");
            assert!(help.ends_with('.') && help.len() > 10, "{name}");
            if let Kind::Histogram(buckets) = kind {
                assert!(name.ends_with("_seconds") && !buckets.is_empty() && buckets.is_sorted(), "{name}");
            }
        }
    }

    /// So that nothing is counted without being described.
    #[test]
    fn everything_that_is_counted_stands_in_the_table() {
        fn rust_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    rust_files(&path, found);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    found.push(path);
                }
            }
        }
        let mut files = Vec::new();
        rust_files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut counted = std::collections::BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for kind in ["counter!(", "gauge!(", "histogram!("] {
                for rest in text.split(kind).skip(1) {
                    if let Some(name) = rest.trim_start().strip_prefix('"').and_then(|it| it.split('"').next()) {
                        counted.insert((name.to_owned(), kind));
                    }
                }
            }
        }
        assert!(counted.len() > 15, "{counted:?}");
        for (name, kind) in &counted {
            let metric = METRICS.iter().find(|it| it.name == name);
            let metric = metric.unwrap_or_else(|| panic!("{name} is counted; describe it in src/metrics/table.rs"));
            let expected = match metric.kind {
                Kind::Counter => "counter!(",
                Kind::Gauge => "gauge!(",
                Kind::Histogram(_) => "histogram!(",
            };
            assert_eq!(*kind, expected, "{name}");
        }
        for metric in METRICS {
            assert!(counted.iter().any(|(name, _)| name == metric.name), "{} is never counted", metric.name);
        }
    }

    use super::table::Metric;
}
