//! The story of a start, as a hub with Outpost's protocol hears it.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::hub_receiver::{HubReceiver, Told};
use crate::support::outpost_start::{OutpostStart, member, runs, stop};
use crate::support::wait::eventually;

const TOKEN: &str = "marker-server-token";

/// Waits until something that was told holds this, and gives all events.
async fn told(hub: &HubReceiver, path: &str, part: &str) -> Vec<Told> {
    told_until(hub, path, |event| member(event, "html_message").contains(part)).await
}

async fn told_until(hub: &HubReceiver, path: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Told> {
    eventually("the hub is told", async || {
        let told = hub.told_at(path);
        told.iter().any(|it| wanted(&it.json())).then_some(told)
    })
    .await
}

/// The watch on events begins with the first start that is told.
async fn warm_up(app: &TestApp) {
    let hub = HubReceiver::start().await;
    OutpostStart::new(&hub, "warm", TOKEN).service("JupyterLab/Slow").start(app).await;
    told(&hub, "/hub/api/users/progress/events/alice/warm", "has a place on").await;
}

#[tokio::test]
async fn a_start_is_told_from_the_beginning_on_at_its_own_url_with_its_own_token() {
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    warm_up(&app).await;
    // Of another hub's protocol, and not for this one.
    let lab = OutpostStart::new(&hub, "lab", TOKEN).with("JUPYTERHUB_STATUS_URL", "users/progress/status/alice/lab");
    lab.start(&app).await;
    let path = "/hub/api/users/progress/events/alice/lab";
    let all = told(&hub, path, "is ready").await;
    let events: Vec<Value> = all.iter().map(Told::json).collect();
    let first =
        json!({"progress": 0, "failed": false, "message": "Server requested", "html_message": "Server requested"});
    assert_eq!(events[0], first);
    let way = ["has a place on", "Fetching the software x/run:1", "is there", "is set up", "runs", "is ready"];
    assert_eq!(events.len(), way.len() + 1, "{events:#?}");
    let mut before = 0;
    for ((event, request), part) in events.iter().zip(&all).skip(1).zip(way) {
        assert!(member(event, "html_message").contains(part) && member(event, "message").contains(part), "{event}");
        assert_eq!(event.as_object().unwrap().len(), 4, "no raw_event: {event}");
        let progress = event["progress"].as_u64().unwrap();
        assert!(progress > before && progress < 100 && event["failed"] == false, "{event}");
        before = progress;
        assert_eq!(request.header("authorization"), Some(&*format!("token {TOKEN}")));
    }
    assert_eq!(hub.told().len(), all.len(), "nothing is told elsewhere");
    app.end().await;
}

#[tokio::test]
async fn a_failure_is_told_as_the_end_of_the_start_unless_the_hub_waits_for_its_answer() {
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    for (name, is_awaited, progress, failed) in [("async", false, 100, true), ("sync", true, 99, false)] {
        let start = OutpostStart::new(&hub, name, TOKEN).service("JupyterLab/Crash").awaited(is_awaited);
        let answer = start.post(&app).await;
        assert_eq!(answer.status, if is_awaited { 419 } else { 202 }, "{}", answer.body);
        let path = format!("/hub/api/users/progress/events/alice/{name}");
        let told = told(&hub, &path, "could not be started").await;
        let all = if failed { told_until(&hub, &path, |event| event["failed"] == true).await } else { told };
        let last = all.last().unwrap().json();
        if failed {
            // The hub cancels the start at once and shows nothing of this event: what it shows comes before.
            let before = all[all.len() - 2].json();
            assert_eq!((&before["progress"], &before["failed"]), (&json!(99), &json!(false)), "{before}");
            assert_eq!(before["html_message"], last["html_message"]);
        }
        assert_eq!((&last["progress"], &last["failed"]), (&json!(progress), &json!(failed)), "{last}");
        assert!(member(&last, "html_message").starts_with("<details><summary>Your server could not"), "{last}");
        assert!(member(&last, "message").ends_with("(exit code 3)"), "{last}");
        assert!(!last.to_string().contains("<script>"), "{last}");
        assert_eq!(all.iter().filter(|it| it.json()["failed"] == true).count(), usize::from(failed));
    }
    app.end().await;
}

#[tokio::test]
async fn an_events_url_that_refuses_or_hangs_or_is_none_is_not_in_the_way_of_a_start() {
    let (refusing, hanging) = (HubReceiver::start().await, HubReceiver::start().await);
    refusing.answer("/hub/api/", 403);
    hanging.hold("/hub/api/");
    let app = TestApp::start().await;
    let nobody = "http://127.0.0.1:9/hub/api";
    let starts = [
        OutpostStart::new(&refusing, "refused", TOKEN),
        OutpostStart::new(&hanging, "hangs", TOKEN),
        OutpostStart::new(&hanging, "nonsense", TOKEN).with("JUPYTERHUB_EVENTS_URL", "://nonsense"),
        OutpostStart::new(&hanging, "nobody", TOKEN)
            .with("JUPYTERHUB_API_URL", nobody)
            .with("JUPYTERHUB_EVENTS_URL", &format!("{nobody}/x")),
        OutpostStart::new(&hanging, "metadata", TOKEN)
            .with("JUPYTERHUB_API_URL", "http://169.254.169.254/")
            .with("JUPYTERHUB_EVENTS_URL", "http://169.254.169.254/latest"),
        OutpostStart::new(&hanging, "elsewhere", TOKEN).with("JUPYTERHUB_EVENTS_URL", &refusing.url("/hub/api/x")),
    ];
    for start in starts {
        let record = start.start(&app).await;
        assert!(runs(&app, &record).await, "{}", start.name);
        crate::support::outpost_start::serves(&app, &record).await;
        stop(&app, &record).await;
    }
    let told: Vec<_> = refusing.told().into_iter().map(|it| it.path).collect();
    assert_eq!(told, ["/hub/api/users/progress/events/alice/refused"], "left alone, and nothing else came");
    app.end().await;
}
