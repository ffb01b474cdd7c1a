//! Starting a service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::acceptance::Acceptance;
use super::arrivals::Arrival;
use super::explain::escape_html;
use super::plan::{Plan, StartRequest};
use super::{Name, Services, StartError, name_of};
use crate::cluster::Deadline;
use crate::config::Config;
use crate::domain::news::News;
use crate::domain::record::{Details, NewService};
use crate::domain::{Clock, Credential, LimitReached, ServerName, ServiceRecord, ServiceState, StartId};
use crate::fail_points::fail_point;
use crate::store::{Arrived, Inserted, NotInserted};

/// Hubs give up after 20 s unless told otherwise; the answer has to be there before.
const START_TIME: Duration = Duration::from_secs(12);
/// What is made after the owner may take longer; from `ANSWER_TIME` on in the background.
const FINISH_TIME: Duration = Duration::from_secs(30);
/// When the hub is answered at the latest.
const ANSWER_TIME: Duration = Duration::from_millis(14_500);
/// What may be spent on removing a start that failed before the hub is told. The rest happens in the background.
const ROLL_BACK_TIME: Duration = Duration::from_secs(2);

/// Between attempts to write down that a start is done.
const WRITING_PAUSE: Duration = Duration::from_millis(500);

/// When a start was asked for.
#[derive(Clone, Copy)]
struct Posted {
    at: Instant,
    date: jiff::Timestamp,
}

impl Posted {
    fn now(clock: &Clock) -> Self {
        Self { at: Instant::now(), date: clock.now() }
    }

    fn count(self, started: &Result<ServiceRecord, StartError>) {
        let (outcome, reason) = match started {
            Ok(record) if record.start_date < self.date => ("repeated", ""),
            Ok(_) => ("started", ""),
            Err(error) => ("failed", error.reason()),
        };
        metrics::counter!("k8smgr_starts_total", "outcome" => outcome, "reason" => reason).increment(1);
        metrics::histogram!("k8smgr_start_duration_seconds", "outcome" => outcome)
            .record(self.at.elapsed().as_secs_f64());
    }
}

fn no_room(reached: LimitReached, new: &NewService) -> StartError {
    let name = new.server_name.outpost_name().unwrap_or(new.server_name.as_str());
    let flavor = new.flavor.as_deref().unwrap_or_default();
    StartError::Refused(reached.refusal(name, flavor, &new.credential, new.jhub_user_id))
}

enum Claim {
    Ours(Box<Plan>, Box<ServiceRecord>),
    /// The same start was asked for before.
    StartedBefore(Box<ServiceRecord>),
}

impl Services {
    /// Starts a service, or finds it started by the same request before. It goes on when the caller hangs up: a start
    /// is carried through or rolled back, never left half done.
    pub async fn start(self: &Arc<Self>, request: StartRequest) -> Result<ServiceRecord, StartError> {
        let (services, acceptance) = (self.clone(), Arc::new(Acceptance::default()));
        let (posted, its_acceptance) = (Posted::now(&self.clock), acceptance.clone());
        let work = async move {
            let started = services.start_or_roll_back(request, posted, &its_acceptance).await;
            posted.count(&started);
            started
        };
        let work = self.drain.spawn_start(work.in_current_span()).ok_or(StartError::Ending)?;
        match tokio::time::timeout(ANSWER_TIME, work).await {
            Ok(ended) => ended?,
            Err(_) => acceptance.answer().ok_or(StartError::TooSlow),
        }
    }

    async fn start_or_roll_back(
        self: &Arc<Self>,
        request: StartRequest,
        posted: Posted,
        acceptance: &Acceptance,
    ) -> Result<ServiceRecord, StartError> {
        let deadline = Deadline::after(START_TIME);
        let name = (request.credential.clone(), request.server_name.clone());
        let arrival = self.arrivals.arrive(name.clone());
        let arrived = self.store.announce_arrival(&name).await?;
        let turn = self.turns.take(&name, deadline).await;
        let claimed = match &turn {
            Some(_) => self.claim(request, &arrival, arrived, deadline).await,
            None => self.start_under_way(&name, &request.start_id).await,
        };
        if let Err(error) = self.store.forget_arrival(arrived).await {
            tracing::debug!(%error, "an arrival is forgotten later");
        }
        let (plan, mut record) = match claimed? {
            Claim::StartedBefore(record) => return Ok(*record),
            Claim::Ours(plan, record) => (*plan, *record),
        };
        // Asked again: a stop that came while the record was written may have found none.
        let was_stopped = arrival.was_stopped();
        drop(arrival);
        self.announce_begun(&plan, &record);
        let label = plan.mark.service().to_owned();
        crate::metrics::started(&label, posted.at);
        let carried_out = match was_stopped {
            true => Err(StartError::Stopped),
            false => self.carry_out(plan, &mut record, deadline, acceptance).await,
        };
        match carried_out {
            Ok(()) => {
                tracing::info!(
                    credential = %record.credential, server_name = %record.server_name, start_id = %record.start_id,
                    "service started"
                );
                self.announce(News::Made { sequence: record.sequence });
                Ok(record)
            }
            Err(error) => {
                fail_point!(StartBeforeRollBack);
                crate::metrics::gave_up(&label);
                if !acceptance.was_answered() || !self.tell_failure(&record, &error).await {
                    self.announce(News::Gone { sequence: record.sequence });
                    self.roll_back(&record, &error).await;
                }
                Err(error)
            }
        }
    }

    /// The same start, where it is what the name's turn is taken by.
    async fn start_under_way(&self, name: &Name, start_id: &StartId) -> Result<Claim, StartError> {
        let named = self.store.services_named(&name.0, &name.1).await?;
        let is_same = |it: &ServiceRecord| it.start_id == *start_id;
        let is_alive = |it: &ServiceRecord| matches!(it.state, ServiceState::Starting | ServiceState::Running);
        let same = named.into_iter().find(|it| is_same(it) && is_alive(it));
        same.map(|it| Claim::StartedBefore(Box::new(it))).ok_or(StartError::EarlierStartRemains)
    }

    /// The hub was told that the start goes on: polls tell how it ended. `recover` deletes what was made of the workload.
    /// False: it was stopped meanwhile, or the database failed.
    async fn tell_failure(&self, record: &ServiceRecord, error: &StartError) -> bool {
        tracing::warn!(id = %record.object_id, %error, "a start failed after its hub was answered");
        let config = self.config.current();
        let headline = config.error_message("services.utils.common.start_service_2", "Could not start service");
        let details = Details::new(headline, escape_html(&error.to_string()));
        let is_latched = self.store.latch_end(record.sequence, &details, self.clock.now()).await.unwrap_or(false);
        if is_latched {
            self.known.set_state(record.sequence, ServiceState::Ended, Some(details.clone()));
            self.announce(News::Ended { sequence: record.sequence, details });
        }
        is_latched
    }

    /// What cannot be removed now is removed by `recover`, also when the database fails here: the record says `starting`
    /// and its start is over.
    async fn roll_back(&self, record: &ServiceRecord, error: &StartError) {
        let deadline = Deadline::after(ROLL_BACK_TIME);
        if let Err(error) = self.begin_stop(record.sequence).await {
            tracing::warn!(id = %record.object_id, %error, "a failed start is removed later");
            // The record waits for the database, the objects need not.
            if let Err(error) = self.delete_objects(record, deadline).await {
                tracing::warn!(id = %record.object_id, %error, "objects of a failed start are removed later");
            }
            return;
        }
        self.known.set_state(record.sequence, ServiceState::Stopping, None);
        // What the API server was asked for it may still do, though it did not answer: the record stays for a while.
        let may_take_effect = matches!(error, StartError::Cluster(error) if error.is_passing());
        let removed = match may_take_effect {
            true => self.delete_objects(record, deadline).await.map_err(Into::into),
            false => self.remove(record, deadline).await,
        };
        if let Err(left) = removed {
            tracing::warn!(id = %record.object_id, error = %left, "a failed start is removed later");
        }
    }

    /// Writes the start down. From here on it is finished or rolled back, whatever happens to the process.
    async fn claim(
        self: &Arc<Self>,
        request: StartRequest,
        arrival: &Arrival<'_>,
        arrived: Arrived,
        deadline: Deadline,
    ) -> Result<Claim, StartError> {
        // A stop that waits for the database comes before a start that was asked for later.
        self.write_waiting_stop(&(request.credential.clone(), request.server_name.clone())).await?;
        // First, so that a repeated request is answered whatever became of the description.
        let (credential, server_name) = (&request.credential, &request.server_name);
        let mut named = match self.is_certainly_new(credential, server_name) {
            true => Vec::new(),
            false => self.store.services_named(credential, server_name).await?,
        };
        if let Some(same) = named.iter().position(|it| it.start_id == request.start_id) {
            let same = named.remove(same);
            if self.is_alive(&same) {
                return Ok(Claim::StartedBefore(Box::new(same)));
            }
            // The same name and start id again after its end: what is left of it makes room first.
            self.begin_stop(same.sequence).await?;
            self.known.set_state(same.sequence, ServiceState::Stopping, None);
            self.remove(&same, deadline).await.map_err(|_| StartError::EarlierStartRemains)?;
        }
        if let Err(refusal) = &request.flavor {
            return Err(refusal.clone().into());
        }
        let plan = self.plan(request, deadline).await?;
        if arrival.was_stopped() {
            return Err(StartError::Stopped);
        }
        if deadline.has_passed() {
            return Err(StartError::TooSlow);
        }
        fail_point!(StartBeforeRecord);
        let inserted = match self.store.insert_arrived_service(&plan.new, arrived, plan.limits).await? {
            Ok(inserted) => inserted,
            Err(NotInserted::Stopped) => return Err(StartError::Stopped),
            Err(NotInserted::NoRoom(reached)) => return Err(no_room(reached, &plan.new)),
        };
        match inserted {
            Inserted::New(record) => {
                self.started().insert(record.sequence);
                fail_point!(StartAfterRecord);
                self.known.put(&record, &plan.mark);
                self.supersede(&record, named);
                self.note_namespaces(&record.objects);
                Ok(Claim::Ours(Box::new(plan), Box::new(record)))
            }
            // Another process was quicker.
            Inserted::SameStart(record) => Ok(Claim::StartedBefore(Box::new(record))),
            Inserted::IdTaken => Err(StartError::NameTaken { object_id: plan.new.object_id.to_string() }),
        }
    }

    /// Whether no start of a name can be there: nobody else writes them, and the memory has none. Unique keys decide all
    /// the same when it is written.
    fn is_certainly_new(&self, credential: &Credential, server_name: &ServerName) -> bool {
        !self.store.is_shared() && self.known.newest(credential, server_name).is_none()
    }

    /// Whether a start is under way or done. To be asked in the name's turn: then no start of this process is under way,
    /// though one of another process may be.
    fn is_alive(&self, record: &ServiceRecord) -> bool {
        match record.state {
            ServiceState::Running => true,
            ServiceState::Starting => !self.was_cut_short(record),
            ServiceState::Stopping | ServiceState::Ended => false,
        }
    }

    async fn carry_out(
        self: &Arc<Self>,
        plan: Plan,
        record: &mut ServiceRecord,
        deadline: Deadline,
        acceptance: &Acceptance,
    ) -> Result<(), StartError> {
        let finish = Deadline::after(FINISH_TIME);
        let Plan { mark, objects: mut planned, files, config, runtime, is_awaited, .. } = plan;
        if is_awaited {
            self.store.start_is_awaited(record.sequence).await?;
        }
        // The home and the owner need nothing of each other, and nothing else may be made without both.
        let home = self.make_home(record, config, deadline);
        let (home, owner) = tokio::join!(home, self.create_owner(&mut planned, record, &mark, deadline));
        match (home, owner) {
            (Ok(()), Err(StartError::Cluster(error))) if error.is_overload() => {
                acceptance.accept(record);
                self.create_owner(&mut planned, record, &mark, finish).await?;
            }
            // Before a home that failed: what the API server may still do decides what is done now.
            (_, Err(error)) => return Err(error),
            (home, Ok(())) => home?,
        }
        acceptance.accept(record);
        self.replace_older(record, finish).await?;
        // Nobody reads the files: they are written beside.
        let id = record.object_id.clone();
        let written = self.write_files(&id, files);
        let ((), created) = tokio::join!(written, self.create_owned(planned, record, &mark, finish));
        created?;
        fail_point!(StartAfterFiles);
        // It counts from here; what the record and the owner said until now was as good as could be known.
        record.ends_at = runtime.and_then(|it| self.clock.now().checked_add(it).ok()).or(record.ends_at);
        self.note_running(record, finish).await?;
        fail_point!(StartAfterRunning);
        record.state = ServiceState::Running;
        self.known.put(record, &mark);
        Ok(())
    }

    /// Everything is made, and the hub may have been told: a database that is away for a moment undoes nothing.
    async fn note_running(&self, record: &ServiceRecord, deadline: Deadline) -> Result<(), StartError> {
        let name = name_of(record);
        loop {
            match self.write_running(record).await {
                Err(StartError::Store(error)) if !deadline.has_passed() && !self.unwritten.contains(&name) => {
                    tracing::debug!(id = %record.object_id, %error, "a start waits for the database");
                    tokio::time::sleep(WRITING_PAUSE).await;
                }
                written => return written,
            }
        }
    }

    async fn write_running(&self, record: &ServiceRecord) -> Result<(), StartError> {
        fail_point!(StartBeforeRunning);
        if self.store.mark_running_until(record.sequence, &record.objects, record.ends_at).await? {
            return Ok(());
        }
        // Whoever stops it deletes by uid what the record holds.
        self.store.set_objects(record.sequence, &record.objects).await?;
        // An earlier attempt may have been written though its answer was lost.
        let current = self.store.service(record.sequence).await?;
        let is_running = current.is_some_and(|it| it.state == ServiceState::Running);
        if is_running { Ok(()) } else { Err(StartError::Stopped) }
    }

    /// Begins at once, also before it is waited for.
    fn make_home(
        &self,
        record: &ServiceRecord,
        config: Arc<Config>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<(), StartError>> + use<> {
        let (credential, server_name) = name_of(record);
        let (service, user_id) = (record.service.clone(), record.jhub_user_id);
        let making = tokio::task::spawn_blocking(move || {
            crate::user_homes::ensure(&config.userhomes, &credential, &service, user_id)
        });
        async move {
            // A file system that hangs must not hold the name for ever; the copy appears whole or not at all.
            let made = deadline.bound(making).await.ok_or(StartError::TooSlow)??;
            let outcome = made.inspect_err(|error| {
                tracing::error!(%error, path = %error.path().display(), "failed to make a user home");
            })?;
            for warning in &outcome.warnings {
                tracing::warn!(%server_name, user_id, "user home: {warning}");
            }
            fail_point!(StartAfterHome);
            Ok(())
        }
    }
}
