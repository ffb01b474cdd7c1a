//! `GET .../pods/<name>/log`.

use super::Api;
use super::error::ApiError;
use super::read;
use super::request::{ApiRequest, Target};
use super::response::{self, Answer};
use crate::kubelet::{LogError, LogQuery};

pub async fn read(api: &Api, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let pod = read::find(api, target)?;
    let name = target.name.as_deref().unwrap_or_default();
    let query = &request.query;
    let mut wanted = LogQuery {
        container: query.get("container").map(str::to_owned),
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        follow: query.flag("follow"),
        since_seconds: query.number("sinceSeconds")?,
    };
    let names = |list: &str| -> Vec<&str> {
        pod["spec"][list].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).collect()
    };
    let (containers, initial) = (names("containers"), names("initContainers"));
    match &wanted.container {
        Some(container) if !containers.contains(&container.as_str()) && !initial.contains(&container.as_str()) => {
            return Err(ApiError::bad_request(format!("container {container} is not valid for pod {name}")));
        }
        Some(_) => {}
        None if containers.len() == 1 => wanted.container = containers.first().map(|it| (*it).to_owned()),
        None => {
            let mut why =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", containers.join(" "));
            if !initial.is_empty() {
                why += &format!(" or one of the init containers: [{}]", initial.join(" "));
            }
            return Err(ApiError::bad_request(why));
        }
    }
    let container = wanted.container.clone().unwrap_or_default();
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        // Nothing to read where nothing runs.
        return Ok(response::text(200, ""));
    }
    let statuses = ["containerStatuses", "initContainerStatuses"];
    let status = statuses.iter().flat_map(|it| pod["status"][*it].as_array().into_iter().flatten());
    let waiting = status.filter(|it| it["name"] == container).find_map(|it| it["state"]["waiting"]["reason"].as_str());
    let restarted = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|it| pod["status"][*it].as_array().into_iter().flatten())
        .any(|it| it["name"] == container && it["lastState"]["terminated"].is_object());
    if wanted.previous && !restarted {
        return Err(refusal(&LogError::NoPrevious { container, pod: name.to_owned() }));
    }
    if let Some(reason) = waiting.filter(|_| !restarted) {
        let what = match reason {
            "ContainerCreating" | "PodInitializing" => reason.to_owned(),
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
            "ErrImageNeverPull" => "image can't be pulled".to_owned(),
            other => other.to_owned(),
        };
        return Err(refusal(&LogError::WaitingToStart { container, pod: name.to_owned(), reason: what }));
    }
    let Some(kubelet) = api.kubelet.get() else { return Err(ApiError::internal("no node answers for its logs")) };
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let stream = kubelet.logs(namespace, name, &wanted).await.map_err(|error| refusal(&error))?;
    Ok(response::stream("text/plain", stream))
}

fn refusal(error: &LogError) -> ApiError {
    match error {
        LogError::Read(_) => ApiError::internal(error.to_string()),
        _ => ApiError::bad_request(error.to_string()),
    }
}
