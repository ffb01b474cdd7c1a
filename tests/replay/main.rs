//! Every recorded exchange about services, authentication, routing and start-up users: it holds, or our documented
//! difference does. A file a group of records; `coverage` checks that none is passed over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod bad_posts;
mod configurations;
mod conflicts;
mod coverage;
mod credentials;
mod edges;
mod home_and_startup;
mod names;
mod outage;
mod reloads;
mod restart_notices;
mod routes;
mod starts;
mod states;
mod stuck;
mod update_and_delete;
mod user_jobs;
