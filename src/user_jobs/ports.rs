//! The ports on our side: chosen once, written down, and the same after every restart.

use std::collections::BTreeSet;

use tokio::net::TcpListener;

use super::{MakeError, UserJobs};
use crate::domain::{ForwardedPort, UserJob};

/// How often a port may be in use before another one takes its place: its last user may be about to end.
const MOST_TRIES: u32 = 3;

impl UserJobs {
    /// Gives every forward of a job a port, and writes it down. `tries` counts how often one was found in use; ports that
    /// the job has already (`own`) are.
    pub(super) async fn choose_ports(
        &self,
        job: &mut UserJob,
        own: &BTreeSet<u16>,
        tries: &mut u32,
    ) -> Result<(), MakeError> {
        let mut wanted = job.ports.clone();
        for port in &mut wanted {
            let Some(local) = port.local.filter(|it| !own.contains(it)) else { continue };
            let Err(error) = TcpListener::bind((self.bind_address, local)).await else { continue };
            *tries += 1;
            // Whoever asked waits and knows no port yet.
            if *tries < MOST_TRIES && job.service_uid.is_some() {
                return Err(MakeError::PortInUse { port: local, source: error });
            }
            port.local = None;
        }
        if wanted.iter().any(|it| it.local.is_none()) {
            self.fill(&mut wanted).await?;
        }
        if wanted != job.ports {
            self.store.set_user_job_ports(job.sequence, &wanted).await?;
            job.ports = wanted;
        }
        *tries = 0;
        Ok(())
    }

    async fn fill(&self, ports: &mut [ForwardedPort]) -> Result<(), MakeError> {
        let jobs = self.store.user_jobs().await?;
        let taken: BTreeSet<u16> = jobs.iter().flat_map(|it| &it.ports).filter_map(|it| it.local).collect();
        // Held until all are chosen, so that none is given twice.
        let mut held = Vec::new();
        for port in ports.iter_mut().filter(|it| it.local.is_none()) {
            while port.local.is_none() {
                let listener = TcpListener::bind((self.bind_address, 0)).await.map_err(MakeError::NoPort)?;
                let local = listener.local_addr().map_err(MakeError::NoPort)?.port();
                held.push(listener);
                port.local = Some(local).filter(|it| !taken.contains(it));
            }
        }
        Ok(())
    }
}
