//! Making the objects of a start: the owner Secret, then what others mount, then the workloads.

use futures::future::join_all;

use super::plan::{Plan, Planned};
use super::{Services, StartError};
use crate::cluster::{ClusterError, Deadline};
use crate::description::ownership::{self, Owner};
use crate::domain::{AppliedObject, Mark, ServiceRecord};

impl Services {
    /// Creates everything in order. `record.objects` holds the uid of all that was made, also when this fails.
    pub(super) async fn apply_all(
        &self,
        plan: Plan,
        record: &mut ServiceRecord,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), StartError> {
        let mut planned = plan.objects;
        let mut waves: Vec<u8> = planned.iter().map(|it| it.wave).collect();
        waves.sort_unstable();
        waves.dedup();
        for wave in waves {
            self.create_wave(&planned, wave, &mut record.objects, mark, deadline).await?;
            if let Some(owner) = Owner::of(&record.objects) {
                planned.iter_mut().for_each(|it| ownership::own(&mut it.object, it.target.namespace.as_deref(), &owner));
            }
        }
        // The watches see the pods from their first state on; that they begin late harms nothing.
        self.cluster.watch(&record.objects, deadline).await?;
        Ok(())
    }

    /// `made` stands beside `planned`, object by object.
    async fn create_wave(
        &self,
        planned: &[Planned],
        wave: u8,
        made: &mut [AppliedObject],
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), ClusterError> {
        let creations = planned.iter().zip(made).filter(|(it, _)| it.wave == wave).map(|(it, made)| async move {
            made.uid = Some(self.cluster.create(&it.target, &it.object, mark, deadline).await?);
            Ok(())
        });
        join_all(creations).await.into_iter().collect()
    }
}
