//! Rounds of work, death and recovery at one site.

use std::time::Duration;

use k8smgr::fail_points::Point;
use local_cluster::{Fault, FaultRule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::model::{Expected, Look, Server, look, polls};
use super::process::{Process, spawn};
use super::report::Report;
use super::site::Site;
use super::work::{Work, do_work};

/// Servers that nothing is asked of, once they run.
const BYSTANDERS: usize = 3;
const SERVERS: usize = 12;
/// Between looks.
const PAUSE: Duration = Duration::from_millis(100);
/// What is still done in the background once all is as it may be.
const BACKGROUND: Duration = Duration::from_millis(700);
/// How often everybody polls while the API server is away.
const POLLS_MEANWHILE: usize = 10;

/// What is wrong with the API server around a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    Away,
    /// Watches are refused, and lists come back empty.
    Blind,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// When it comes to a point for the n-th time.
    At(Point, u32),
    /// A while after the work began.
    After(Duration, Weather),
}

pub struct Crasher {
    site: Site,
    rng: StdRng,
    servers: Vec<Server>,
    weather: Weather,
    /// How long a recovery may take.
    patience: Duration,
    pub report: Report,
    starts: i64,
}

impl Crasher {
    pub async fn new(seed: u64, patience: Duration) -> Self {
        let server = |index: usize| Server {
            name: format!("server{index}"),
            user_id: 0,
            expected: Expected::gone(),
            untouched: None,
        };
        Self {
            site: Site::new().await,
            rng: StdRng::seed_from_u64(seed),
            servers: (0..SERVERS).map(server).collect(),
            weather: Weather::Fair,
            patience,
            report: Report::default(),
            starts: 0,
        }
    }

    /// Starts most servers, for the kills to come.
    pub async fn begin(&mut self) -> Result<(), String> {
        let mut process = spawn(&self.site, None).await.ok_or("k8smgr died by itself")?;
        let work = (0..SERVERS - 2).map(|index| (index, self.start("Lab")));
        let work: Vec<_> = work.collect();
        self.work(&process, work).await?;
        if !self.recover(&mut process).await? {
            return Err("k8smgr died by itself".to_owned());
        }
        process.kill().await;
        Ok(())
    }

    /// A process recovers from the last kill, works, and is killed. Says whether it died where it was to.
    pub async fn round(&mut self, kill: Kill) -> Result<bool, String> {
        let death = match kill {
            Kill::At(point, hit) => Some((point, hit)),
            Kill::After(..) => None,
        };
        let outcome = self.live_and_die(death, kill).await;
        let is_as_ordered = outcome.map_err(|what| format!("{kill:?}: {what}; files in {:?}", self.site.keep()))?;
        self.report.killed(kill, is_as_ordered);
        Ok(is_as_ordered)
    }

    async fn live_and_die(&mut self, death: Option<(Point, u32)>, kill: Kill) -> Result<bool, String> {
        let Some(mut process) = spawn(&self.site, death).await else { return Ok(true) };
        if !self.recover(&mut process).await? {
            return Ok(true);
        }
        let work = self.choose_work(death.map(|it| it.0));
        match kill {
            Kill::At(..) => self.work(&process, work).await?,
            Kill::After(delay, weather) => {
                let client = process.client;
                let servers = self.servers.clone();
                let before = self.rng.random_range(0..=delay.as_millis() as u64);
                let working = do_work(&client, &servers, work, &mut self.rng);
                let killing = async {
                    sleep(Duration::from_millis(before)).await;
                    set_weather(&self.site, weather);
                    sleep(delay.saturating_sub(Duration::from_millis(before))).await;
                    process.kill().await;
                };
                let (done, ()) = tokio::join!(working, killing);
                self.weather = weather;
                self.take_note(done)?;
                return Ok(true);
            }
        }
        let is_dead = self.dies_by_itself(&mut process).await?;
        process.kill().await;
        Ok(is_dead)
    }

    /// Whether it dies in the background of its answers: before all that it was asked for is done, or soon after.
    async fn dies_by_itself(&self, process: &mut Process) -> Result<bool, String> {
        let begin = Instant::now();
        // What is seen here is noted by the recovery, which the process may not live to see.
        let mut servers = self.servers.clone();
        while begin.elapsed() < self.patience {
            let found = look(&self.site, &process.client, &mut servers).await;
            if process.is_dead(&self.site) {
                return Ok(true);
            }
            let is_settled = match found {
                Look::Holds => self.site.hubs_are_told().await,
                Look::Violated(what) => return Err(what),
                Look::NotYet(_) | Look::NoAnswer => false,
            };
            if is_settled {
                return Ok(process.dies_within(BACKGROUND, &self.site).await);
            }
            if process.dies_within(PAUSE, &self.site).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Comes up after the last kill, and ends with everything as it may be.
    pub async fn end(&mut self) -> Result<(), String> {
        let mut process = spawn(&self.site, None).await.ok_or("k8smgr died by itself")?;
        let lives = self.recover(&mut process).await?;
        let begin = Instant::now();
        while lives && !self.site.hubs_are_told().await {
            if begin.elapsed() > self.patience {
                return Err("the hub was not told of the restart".to_owned());
            }
            sleep(PAUSE).await;
        }
        process.kill().await;
        if let Some(path) = self.site.file_with_a_secret() {
            return Err(format!("a secret stands in {}", path.display()));
        }
        if lives { Ok(()) } else { Err("k8smgr died by itself".to_owned()) }
    }

    /// Waits until everything is as it may be. False: the process died meanwhile.
    async fn recover(&mut self, process: &mut Process) -> Result<bool, String> {
        if self.weather != Weather::Fair {
            for _ in 0..POLLS_MEANWHILE {
                if let Err(Look::Violated(what)) = polls(&process.client, &self.servers).await {
                    return Err(format!("{:?}: {what}", self.weather));
                }
                sleep(PAUSE).await;
            }
            set_weather(&self.site, Weather::Fair);
            self.weather = Weather::Fair;
        }
        let begin = Instant::now();
        loop {
            let found = look(&self.site, &process.client, &mut self.servers).await;
            if process.is_dead(&self.site) {
                return Ok(false);
            }
            match found {
                Look::Holds => break,
                Look::Violated(what) => return Err(what),
                found if begin.elapsed() > self.patience => {
                    return Err(format!("not recovered after {:?}: {found:?}", begin.elapsed()));
                }
                _ => sleep(PAUSE).await,
            }
        }
        self.report.recovered(begin.elapsed());
        Ok(true)
    }

    async fn work(&mut self, process: &Process, work: Vec<(usize, Work)>) -> Result<(), String> {
        let servers = self.servers.clone();
        let done = do_work(&process.client, &servers, work, &mut self.rng).await;
        self.take_note(done)
    }

    fn take_note(&mut self, done: Vec<Result<Server, String>>) -> Result<(), String> {
        for server in done {
            let server = server?;
            if let Some(known) = self.servers.iter_mut().find(|it| it.name == server.name) {
                *known = server;
            }
        }
        Ok(())
    }

    fn start(&mut self, service: &'static str) -> Work {
        self.starts += 1;
        // Most are of new users, whose homes have to be made.
        let user_id = if self.rng.random_ratio(3, 4) { self.starts } else { 1 };
        Work::Start { start_id: format!("s{}", self.starts), service, user_id }
    }

    /// Something to do for most servers; what leads to the point is among it.
    fn choose_work(&mut self, point: Option<Point>) -> Vec<(usize, Work)> {
        let mut chosen = Vec::new();
        let mut wanted = point.and_then(way_to);
        for index in BYSTANDERS..SERVERS {
            let runs = self.servers[index].untouched.is_some();
            let kind = match wanted {
                Some(way) if way.needs_running().is_none_or(|it| it == runs) => {
                    wanted = None;
                    way
                }
                _ if runs => [Way::Idle, Way::Idle, Way::Stop, Way::Start, Way::Update, Way::Repeat, Way::Both]
                    [self.rng.random_range(0..7)],
                _ => [Way::Idle, Way::Start, Way::Start, Way::Start, Way::Set, Way::End, Way::Fail]
                    [self.rng.random_range(0..7)],
            };
            let work = match kind {
                Way::Idle => continue,
                Way::Start => self.start("Lab"),
                Way::Set => self.start("Set"),
                Way::End => self.start("Ends"),
                Way::Fail => self.start("Fails"),
                Way::Both => match self.start("Lab") {
                    Work::Start { start_id, service, user_id } => Work::StartAndStop { start_id, service, user_id },
                    other => other,
                },
                Way::Stop => Work::Stop,
                Way::Update => Work::Update,
                Way::Repeat => Work::Repeat,
            };
            chosen.push((index, work));
        }
        chosen
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Idle,
    Start,
    Set,
    End,
    Fail,
    Stop,
    Update,
    Repeat,
    Both,
}

impl Way {
    /// Whether the server has to run for it; `None`: either.
    fn needs_running(self) -> Option<bool> {
        match self {
            Way::Stop | Way::Update | Way::Repeat | Way::Both => Some(true),
            Way::Set | Way::End | Way::Fail => Some(false),
            Way::Idle | Way::Start => None,
        }
    }
}

/// What leads to a point.
fn way_to(point: Point) -> Option<Way> {
    let name = format!("{point:?}");
    match point {
        Point::StartBeforeRollBack => Some(Way::Fail),
        _ if name.starts_with("Start") || name.starts_with("Home") || name.starts_with("Supersede") => Some(Way::Start),
        _ if name.starts_with("Stop") => Some(Way::Stop),
        _ if name.starts_with("End") => Some(Way::End),
        _ if name.starts_with("Update") => Some(Way::Update),
        _ => None,
    }
}

fn set_weather(site: &Site, weather: Weather) {
    let faults = site.cluster.faults();
    match weather {
        Weather::Fair => {
            faults.clear();
            faults.down(false);
        }
        Weather::Away => faults.down(true),
        Weather::Blind => {
            let refuse = Fault::Refuse { code: 500, reason: "InternalError".to_owned() };
            faults.add(FaultRule::new(refuse).verb("watch"));
            faults.add(FaultRule::new(Fault::EmptyList).verb("list"));
        }
    }
}
