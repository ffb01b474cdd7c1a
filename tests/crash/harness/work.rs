//! What hubs ask for, all at once, and what may have become of it: an answer says, no answer leaves it open.

use std::time::Duration;

use futures::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::client::Client;
use super::model::{Expected, Server};

/// Requests come within this time, in no order.
const SPREAD_MS: u64 = 150;
/// How often a hub asks for a server that ends by itself.
const POLLS: usize = 100;
const BETWEEN_POLLS: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub enum Work {
    Start {
        start_id: String,
        service: &'static str,
        user_id: i64,
    },
    /// Both at once, in no order.
    StartAndStop {
        start_id: String,
        service: &'static str,
        user_id: i64,
    },
    /// The same start again.
    Repeat,
    Update,
    Stop,
}

/// Does everything at once. Gives the servers as they may be now.
pub async fn do_work(
    client: &Client,
    servers: &[Server],
    work: Vec<(usize, Work)>,
    rng: &mut StdRng,
) -> Vec<Result<Server, String>> {
    let all = work.into_iter().map(|(index, work)| {
        let delay = Duration::from_millis(rng.random_range(0..SPREAD_MS));
        let server = servers[index].clone();
        async move {
            sleep(delay).await;
            one(client, server, work).await
        }
    });
    join_all(all.collect::<Vec<_>>()).await
}

async fn one(client: &Client, mut server: Server, work: Work) -> Result<Server, String> {
    let before = server.expected.clone();
    server.expected = match work {
        Work::Start { start_id, service, user_id } => {
            server.user_id = user_id;
            server.untouched = None;
            start(client, &server.name, &start_id, service, user_id, before).await?
        }
        Work::StartAndStop { start_id, service, user_id } => {
            server.user_id = user_id;
            server.untouched = None;
            let stop = client.stop(&server.name);
            let _ = tokio::join!(client.start(&server.name, &start_id, service, user_id), stop);
            before.or(Expected::runs(&start_id)).or(Expected::gone())
        }
        Work::Repeat => {
            let Some(start_id) = before.runs.first() else { return Ok(server) };
            let answer = client.start(&server.name, start_id, "Lab", server.user_id).await;
            if answer.as_ref().is_some_and(|it| it.status != 201) {
                return Err(format!("the start of {server:?} again was answered {answer:?}"));
            }
            before
        }
        Work::Update => {
            server.untouched = None;
            let answer = client.update(&server.name).await;
            if answer.as_ref().is_some_and(|it| !it.says_running()) {
                return Err(format!("the update of {server:?} was answered {answer:?}"));
            }
            before
        }
        Work::Stop => {
            server.untouched = None;
            match client.stop(&server.name).await {
                None => before.or(Expected::gone()),
                Some(answer) if answer.status == 204 => Expected::gone().told(),
                answer => return Err(format!("the stop of {server:?} was answered {answer:?}")),
            }
        }
    };
    Ok(server)
}

async fn start(
    client: &Client,
    name: &str,
    start_id: &str,
    service: &str,
    user_id: i64,
    before: Expected,
) -> Result<Expected, String> {
    let target = match service {
        "Ends" => Expected::ended(),
        "Fails" => Expected::gone(),
        _ => Expected::runs(start_id),
    };
    let answer = client.start(name, start_id, service, user_id).await;
    let Some(answer) = answer else { return Ok(before.or(target).or(Expected::gone())) };
    match (service, answer.status) {
        // The older one ended before: it may have been kept.
        ("Fails", 500) => Ok(before.or(Expected::gone()).told()),
        ("Ends", 201) => {
            for _ in 0..POLLS {
                match client.poll(name).await {
                    Some(answer) if answer.says_over() => return Ok(target.told()),
                    Some(_) => sleep(BETWEEN_POLLS).await,
                    None => break,
                }
            }
            Ok(target)
        }
        ("Lab" | "Set", 201) => {
            // The hub knows of it: the older one goes.
            client.poll(name).await;
            Ok(target)
        }
        _ => Err(format!("the start {start_id} of {name} ({service}) was answered {answer:?}")),
    }
}
