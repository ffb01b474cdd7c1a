//! Every metric by name: what it counts, its labels, its buckets. What is counted anywhere stands here, or a test fails.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), labels, help }
}

/// A start: from an image that is there to one that is pulled over a slow line.
const STARTS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0];
/// A request: a poll from memory to what waits for Kubernetes.
const REQUESTS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    counter("k8smgr_requests_total", &["route", "method", "status"],
        "Requests answered. Routes are those of the API; whatever is none of them is `other`."),
    histogram("k8smgr_request_duration_seconds", REQUESTS, &["route", "method"],
        "Time from a request's head to its answer."),
    counter("k8smgr_polls_total", &["answer"],
        "Polls by answer: running, stopped or not_found. None fails: a hub takes that for the end of the server."),
    counter("k8smgr_starts_total", &["outcome", "reason"],
        "Starts: `started`, `repeated` (the same start again) or `failed` with the reason."),
    histogram("k8smgr_start_duration_seconds", STARTS, &["outcome"],
        "Time from a POST to its answer, without what waits for Kubernetes to run the pod."),
    histogram("k8smgr_start_running_seconds", STARTS, &[],
        "Time from a POST until the watch first saw the main container run, told by the process that took the POST."),
    counter("k8smgr_stops_total", &["outcome"],
        "DELETEs: `stopped` (done or written down to be done) or `not_found`."),
    gauge("k8smgr_services_with_end_date", &[],
        "Services that run and will be stopped when the runtime of their flavor is over, as the leader last saw."),
    counter("k8smgr_services_out_of_time_total", &[],
        "Services that were stopped because the runtime of their flavor was over."),
    counter("k8smgr_services_ended_total", &[],
        "Services that ended by themselves and were told so to their hub."),
    gauge("k8smgr_services", &["state", "credential"],
        "Services in the database by state and hub. Every replica tells the same: take the maximum, not the sum."),
    gauge("k8smgr_watch_failing_seconds", &["kind", "namespace"],
        "The age of what the watch cache holds: how long its watch has failed; 0 while it works."),
    counter("k8smgr_api_requests_total", &["verb", "resource", "code"],
        "Requests to the Kubernetes API server, as its own metrics name them; code `none` is no answer."),
    counter("k8smgr_api_retries_total", &[],
        "Calls to the Kubernetes API server that were made again because they failed in passing."),
    counter("k8smgr_log_records_dropped_total", &["handler"],
        "Log records that a handler could not take or write."),
    gauge("k8smgr_log_handler_failing", &["handler"],
        "1 while the last attempt of a log handler to write failed."),
    gauge("k8smgr_config_generation", &[],
        "Grows with every change of configuration or descriptions that took effect."),
    gauge("k8smgr_config_last_reload_success", &[],
        "1 when the last reading of config.json was good; 0 while a bad file is kept out."),
    gauge("k8smgr_config_last_reload_success_timestamp_seconds", &[],
        "When config.json was last read and found good."),
    counter("k8smgr_config_reloads_total", &["outcome"],
        "Readings of configuration and descriptions: `changed`, `unchanged`, or `failed` (something is bad and the last good one stays)."),
    gauge("k8smgr_rules_last_reload_success", &["file"],
        "1 where flavors.yaml or credits.yaml (`flavors`, `credits`) is good as it is, 0 where it is bad."),
    gauge("k8smgr_descriptions", &["state"],
        "Service descriptions by state: `good`, or `broken` (starts use the last good one, where there was one)."),
    gauge("k8smgr_skeletons_broken", &[],
        "Skeletons that cannot be copied: starts of new users fail."),
    gauge("k8smgr_database_up", &[],
        "1 when the database answered while this page was made."),
    gauge("k8smgr_database_connections", &["pool", "state"],
        "Database connections: `idle`, `in_use`, and `waiting` for those who wait for one."),
    gauge("k8smgr_starts_not_running", &[],
        "Starts of this process whose main container was not seen to run yet."),
    gauge("k8smgr_services_known", &[],
        "Services in this process's memory, from which polls are answered."),
    counter("k8smgr_database_outages_total", &[],
        "How often the database stopped answering."),
    counter("k8smgr_polls_without_database_total", &[],
        "Polls that were answered from memory because the database did not answer."),
    counter("k8smgr_logins_without_database_total", &[],
        "Logins that were taken from memory because the database did not answer."),
    gauge("k8smgr_stops_unwritten", &[],
        "Stops that wait in memory for the database. Each is carried out in the cluster at once; one that could not be is lost if the process ends meanwhile."),
    gauge("k8smgr_leader", &[],
        "1 at the process that does the background work; the sum over all replicas should be 1."),
    counter("k8smgr_leader_elections_won_total", &[],
        "How often this process took the background work over."),
    counter("k8smgr_recovered_services_total", &[],
        "Services that a crash or an outage had left half started or half stopped, and that recovery removed."),
    counter("k8smgr_recovery_failures_total", &[],
        "Attempts of recovery to stop a service that failed and are made again."),
    counter("k8smgr_swept_objects_total", &[],
        "Objects of this installation without a record that were removed from the cluster."),
    counter("k8smgr_watch_failures_total", &[],
        "Failures of watches on the Kubernetes API; each watch is taken up again."),
    counter("k8smgr_watches_begun_again_total", &[],
        "Watches that listed everything anew because they lacked a service that is there."),
    counter("k8smgr_tls_handshakes_total", &["outcome"],
        "TLS handshakes: `full`, `resumed` (an earlier session was taken up again), `failed`, `timed_out`, or `not_tls` (a client spoke plain HTTP)."),
    counter("k8smgr_tls_reloads_total", &["outcome"],
        "Readings of certificate, key and authorities: `changed`, `unchanged`, or `failed` (what is on the disk is bad, and what was in use stays)."),
    gauge("k8smgr_tls_last_reload_success", &[],
        "1 when certificate, key and authorities on the disk are good; 0 while bad ones are kept out."),
    gauge("k8smgr_tls_certificate_not_after_timestamp_seconds", &[],
        "When the certificate in use ends. Not there without TLS."),
    counter("k8smgr_user_job_requests_total", &["outcome"],
        "Requests for user jobs: `made`, `refused` (the request was wrong) or `failed`."),
    gauge("k8smgr_user_jobs", &["state"],
        "User jobs that were made, at the process that leads: `working`, or `failing` (their forwards or their Service are tried again)."),
    counter("k8smgr_ssh_connections_lost_total", &[],
        "Connections of ssh for user jobs that broke and were made again."),
    counter("k8smgr_restart_notices_total", &["outcome"],
        "Attempts to tell a hub of a restart: `told`, `failed` (tried again soon), or `refused` (the hub answered and does not take it)."),
    gauge("k8smgr_restart_notices_owed", &[],
        "Hubs that were not told of a restart yet, at the process that leads."),
    counter("k8smgr_hub_events_total", &["credential", "outcome"],
        "Steps of starts sent to hubs: `sent`, `failed` (tried a few times), or `refused` (the hub does not take them for that start, or its address is not allowed)."),
    counter("k8smgr_flavor_updates_total", &["credential", "outcome"],
        "Attempts to tell a hub what of its flavors is in use: `sent`, `failed` (tried a few times), or `refused` (the hub does not take it, or its address is not allowed)."),
    counter("k8smgr_tunnels_total", &["credential", "outcome"],
        "Attempts after a restart to have a hub's tunnel to a server made again: `made`, `failed` (tried a few times) or `refused`."),
    counter("k8smgr_hub_lists_total", &["credential", "outcome"],
        "Lists of their servers that hubs were asked for: `compared`, `unconfirmed` (it names none of those that run here, and has to do so again), `refused` (no list, or another hub's) or `failed`."),
    counter("k8smgr_unlisted_services_total", &[],
        "Services that were stopped because two lists of their hub in a row did not name them."),
    gauge("k8smgr_starts_told", &[],
        "Starts whose steps this process tells to their hubs at the moment."),
    gauge("k8smgr_build_info", &["version"],
        "Always 1; the version is the label."),
];
