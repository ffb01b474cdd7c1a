//! Making the objects of a start: the owner Secret, then what others mount, then the workloads.

use futures::future::join_all;

use super::plan::Planned;
use super::{Services, StartError};
use crate::cluster::{ClusterError, Deadline};
use crate::description::ownership::set_owner;
use crate::domain::{AppliedObject, Mark, ServiceRecord};
use crate::fail_points::fail_point;

const OWNER: u8 = 0;
const MOUNTED: u8 = 1;
const WORKLOADS: u8 = 2;

impl Services {
    /// Creates the owner, and names it to what is left to be made. `record.objects` holds the uid of all that was made,
    /// also when this or what follows fails.
    pub(super) async fn create_owner(
        &self,
        planned: &mut [Planned],
        record: &mut ServiceRecord,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), StartError> {
        self.create_wave(planned, OWNER, &mut record.objects, mark, deadline).await?;
        fail_point!(StartAfterOwner);
        if let Some(AppliedObject { name, namespace, uid: Some(uid), .. }) = record.objects.first() {
            let owned = planned.iter_mut().skip(1).filter(|it| it.target.namespace == *namespace);
            owned.for_each(|it| set_owner(&mut it.manifest, name, uid));
        }
        Ok(())
    }

    /// Creates the rest, in order.
    pub(super) async fn create_owned(
        &self,
        planned: Vec<Planned>,
        record: &mut ServiceRecord,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), StartError> {
        self.create_wave(&planned, MOUNTED, &mut record.objects, mark, deadline).await?;
        fail_point!(StartAfterMounted);
        self.create_wave(&planned, WORKLOADS, &mut record.objects, mark, deadline).await?;
        fail_point!(StartAfterWorkload);
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
        let of_wave = planned.iter().zip(made).enumerate().filter(|(index, (it, _))| it.wave(*index) == wave);
        let creations = of_wave.map(|(_, (it, made))| async move {
            made.uid = Some(self.cluster.create(&it.target, &it.manifest.object, mark, deadline).await?);
            fail_point!(StartBetweenObjects);
            Ok(())
        });
        join_all(creations).await.into_iter().collect()
    }
}
