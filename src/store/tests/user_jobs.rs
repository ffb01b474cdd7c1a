//! User jobs and their states.

use super::*;
use crate::domain::{ForwardedPort, NewUserJob, UserJob, UserJobState};

fn new_job(hub: &str, service: &str, state: UserJobState) -> NewUserJob {
    NewUserJob {
        credential: credential(hub),
        service: service.to_owned(),
        hostname: "hpc".to_owned(),
        target_node: "node".to_owned(),
        ports: vec![ForwardedPort { wanted: 80, local: None, remote: 81 }],
        state,
        owner: Some(7),
        token: "t1".to_owned(),
    }
}

async fn insert(store: &Store, new: &NewUserJob) -> UserJob {
    store.insert_user_job(new).await.unwrap().unwrap()
}

pub async fn a_job_is_written_down_once_a_credential(database: TestDatabase) {
    let store = database.connect().await;
    let mut changes = store.changes().await;
    let new = new_job("hub", "job", UserJobState::Starting);
    let job = insert(&store, &new).await;
    while !changes.next().await.user_jobs {}
    assert_eq!(store.insert_user_job(&NewUserJob { hostname: "other".to_owned(), ..new.clone() }).await.unwrap(), None);
    let other = insert(&store, &new_job("otherhub", "job", UserJobState::Running)).await;
    let ports = [ForwardedPort { wanted: 80, local: Some(4000), remote: 81 }];
    store.set_user_job_ports(job.sequence, &ports).await.unwrap();
    store.set_user_job_service(job.sequence, "uid-1").await.unwrap();
    let job = UserJob { ports: ports.to_vec(), service_uid: Some("uid-1".to_owned()), ..job };
    assert_eq!(store.user_jobs().await.unwrap(), [job.clone(), other.clone()]);
    assert_eq!(store.user_job(&new.credential, "job").await.unwrap(), Some(job.clone()));
    assert_eq!(store.user_job(&new.credential, "another").await.unwrap(), None);
    let marks = store.user_job_marks("i1").await.unwrap();
    assert_eq!(marks, [job.mark("i1"), other.mark("i1")]);
    assert_ne!(marks[0].service(), marks[1].service());
    assert_eq!(store.user_jobs_without_user().await.unwrap(), [job.sequence, other.sequence]);
    store.remove_user_job(job.sequence).await.unwrap();
    assert_eq!(store.user_job_by_sequence(job.sequence).await.unwrap(), None);
    let again = insert(&store, &new).await;
    assert!(again.sequence > other.sequence, "no sequence is used twice");
}

pub async fn a_state_changes_only_from_the_states_it_may(database: TestDatabase) {
    let store = database.connect().await;
    let job = insert(&store, &new_job("hub", "job", UserJobState::Starting)).await;
    let (starting, running) = (UserJobState::Starting, UserJobState::Running);
    assert!(store.change_user_job(job.sequence, &[starting], running, None).await.unwrap());
    assert!(!store.change_user_job(job.sequence, &[starting], UserJobState::Failed, Some("late")).await.unwrap());
    assert!(store.change_user_job(job.sequence, &[starting, running], UserJobState::Stopping, None).await.unwrap());
    let job = store.user_job_by_sequence(job.sequence).await.unwrap().unwrap();
    assert_eq!((job.state, job.problem), (UserJobState::Stopping, None));
}

pub async fn what_a_dead_process_had_in_hand_is_stopped(database: TestDatabase) {
    let store = database.connect().await;
    for state in UserJobState::ALL {
        insert(&store, &new_job("hub", state.as_str(), state)).await;
    }
    store.stop_unfinished_user_jobs().await.unwrap();
    let left: Vec<_> = store.user_jobs().await.unwrap().into_iter().map(|it| (it.service, it.state)).collect();
    let expected = [
        ("starting".to_owned(), UserJobState::Stopping),
        ("running".to_owned(), UserJobState::Running),
        ("stopping".to_owned(), UserJobState::Stopping),
    ];
    assert_eq!(left, expected);
}
