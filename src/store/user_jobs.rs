//! The user jobs: one row a job, and the transitions between their states.

use diesel::dsl::{exists, not};
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, Selectable, SelectableHelper};

use super::schema::user_jobs::{self, dsl};
use super::schema::users;
use super::services::readable;
use super::{Change, Store, StoreError, query};
use crate::domain::user_job::{ports_from_text, ports_to_text};
use crate::domain::{Credential, ForwardedPort, Mark, NewUserJob, UserJob, UserJobState};

#[derive(Clone, Insertable)]
#[diesel(table_name = user_jobs)]
struct NewRow {
    credential: String,
    service: String,
    hostname: String,
    target_node: String,
    ports: String,
    state: &'static str,
    owner: Option<i64>,
    token: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = user_jobs)]
struct Row {
    sequence: i64,
    credential: String,
    service: String,
    hostname: String,
    target_node: String,
    ports: String,
    state: String,
    owner: Option<i64>,
    token: String,
    service_uid: Option<String>,
    problem: Option<String>,
}

impl Store {
    /// `None`: the credential has one of this service already, and nothing was changed.
    pub async fn insert_user_job(&self, new: &NewUserJob) -> Result<Option<UserJob>, StoreError> {
        let row = NewRow {
            credential: new.credential.to_string(),
            service: new.service.clone(),
            hostname: new.hostname.clone(),
            target_node: new.target_node.clone(),
            ports: ports_to_text(&new.ports),
            state: new.state.as_str(),
            owner: new.owner,
            token: new.token.clone(),
        };
        first(query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::insert_into(dsl::user_jobs)
            .values(&row)
            .on_conflict_do_nothing()
            .returning(Row::as_returning())
            .load(connection))?)
    }

    /// All jobs, oldest first.
    pub async fn user_jobs(&self) -> Result<Vec<UserJob>, StoreError> {
        let rows: Vec<Row> = query!(self.read, |connection| dsl::user_jobs
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?;
        // One row that cannot be read must not hide the others.
        let readable = rows.into_iter().filter_map(|row| {
            let sequence = row.sequence;
            UserJob::try_from(row)
                .inspect_err(|error| tracing::error!(sequence, %error, "a stored user job is skipped"))
                .ok()
        });
        Ok(readable.collect())
    }

    pub async fn user_job(&self, credential: &Credential, service: &str) -> Result<Option<UserJob>, StoreError> {
        let (credential, service) = (credential.to_string(), service.to_owned());
        first(query!(self.read, |connection| dsl::user_jobs
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::service.eq(&service))
            .select(Row::as_select())
            .load(connection))?)
    }

    pub async fn user_job_by_sequence(&self, sequence: i64) -> Result<Option<UserJob>, StoreError> {
        first(query!(self.read, |connection| dsl::user_jobs
            .filter(dsl::sequence.eq(sequence))
            .select(Row::as_select())
            .load(connection))?)
    }

    /// The jobs whose user is no more.
    pub async fn user_jobs_without_user(&self) -> Result<Vec<i64>, StoreError> {
        query!(self.read, |connection| dsl::user_jobs
            .filter(not(exists(users::table.filter(users::name.eq(dsl::credential)))))
            .order(dsl::sequence)
            .select(dsl::sequence)
            .load::<i64>(connection))
    }

    /// The marks of all jobs' Services. Of a row that cannot be read, too: whoever asks takes what is missing for gone.
    pub async fn user_job_marks(&self, installation: &str) -> Result<Vec<Mark>, StoreError> {
        let rows = query!(self.read, |connection| dsl::user_jobs
            .order(dsl::sequence)
            .select((dsl::credential, dsl::service, dsl::token))
            .load::<(String, String, String)>(connection))?;
        rows.into_iter()
            .map(|(credential, service, token)| {
                let credential = readable("credential", &credential, |it| Credential::parse(it).ok())?;
                Ok(Mark::of_user_job(installation, &credential, &service, &token))
            })
            .collect()
    }

    /// From one of the states `from` to another one, with the reason. False: it is in none of them, or gone.
    pub async fn change_user_job(
        &self,
        sequence: i64,
        from: &[UserJobState],
        to: UserJobState,
        problem: Option<&str>,
    ) -> Result<bool, StoreError> {
        let from: Vec<&'static str> = from.iter().map(|it| it.as_str()).collect();
        let (to, problem) = (to.as_str(), problem.map(str::to_owned));
        let changed =
            query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::update(dsl::user_jobs.find(sequence))
                .filter(dsl::state.eq_any(&from))
                .set((dsl::state.eq(to), dsl::problem.eq(&problem)))
                .execute(connection))?;
        Ok(changed == 1)
    }

    pub async fn set_user_job_ports(&self, sequence: i64, ports: &[ForwardedPort]) -> Result<(), StoreError> {
        let text = ports_to_text(ports);
        query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::update(dsl::user_jobs.find(sequence))
            .set(dsl::ports.eq(&text))
            .execute(connection))?;
        Ok(())
    }

    /// From then on the job is ours, wherever it came from.
    pub async fn set_user_job_service(&self, sequence: i64, uid: &str) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::update(dsl::user_jobs.find(sequence))
            .set(dsl::service_uid.eq(&uid))
            .execute(connection))?;
        Ok(())
    }

    /// A process that had it in hand is no more, and nobody waits for the outcome. Where no other process may be at it.
    pub async fn stop_unfinished_user_jobs(&self) -> Result<(), StoreError> {
        let (starting, stopping) = (UserJobState::Starting.as_str(), UserJobState::Stopping.as_str());
        let told = [UserJobState::Refused.as_str(), UserJobState::Failed.as_str()];
        query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::update(dsl::user_jobs)
            .filter(dsl::state.eq(starting))
            .set(dsl::state.eq(stopping))
            .execute(connection))?;
        query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::delete(dsl::user_jobs)
            .filter(dsl::state.eq_any(told))
            .execute(connection))?;
        Ok(())
    }

    pub async fn remove_user_job(&self, sequence: i64) -> Result<(), StoreError> {
        query!(self.write, |_| Some(Change::UserJobs), |connection| diesel::delete(dsl::user_jobs.find(sequence))
            .execute(connection))?;
        Ok(())
    }
}

fn first(rows: Vec<Row>) -> Result<Option<UserJob>, StoreError> {
    rows.into_iter().next().map(UserJob::try_from).transpose()
}

impl TryFrom<Row> for UserJob {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(UserJob {
            sequence: row.sequence,
            credential: readable("credential", &row.credential, |it| Credential::parse(it).ok())?,
            ports: readable("ports", &row.ports, ports_from_text)?,
            state: readable("state", &row.state, UserJobState::from_stored)?,
            service: row.service,
            hostname: row.hostname,
            target_node: row.target_node,
            owner: row.owner,
            token: row.token,
            service_uid: row.service_uid,
            problem: row.problem,
        })
    }
}
