//! A newer start of a server replaces an older one whose objects have the names that it needs.
//!
//! For hubs of Outpost's protocol, where each start is a name of its own and a description may call its objects after the server:
//! a hub that lost sight of a start begins another. The older one has ended then; its record stays to say so. Never the other
//! way round: a start only ever looks at those before it.

use std::sync::Arc;
use std::time::Duration;

use super::{Services, StartError, name_of};
use crate::cluster::{ClusterError, Deadline};
use crate::domain::record::Details;
use crate::domain::{AppliedObject, ServiceRecord, ServiceState};

/// Between looks at objects that are being deleted: a pod takes a while to end, and nobody watches all kinds.
const GOING_PAUSE: Duration = Duration::from_millis(250);

impl Services {
    /// Makes room for what `newest` is about to make.
    pub(super) async fn replace_older(
        self: &Arc<Self>,
        newest: &ServiceRecord,
        deadline: Deadline,
    ) -> Result<(), StartError> {
        let Some(name) = newest.server_name.outpost_name() else { return Ok(()) };
        let others = self.store.services_of_user(&newest.credential, newest.jhub_user_id).await?;
        let is_older =
            |it: &ServiceRecord| it.sequence < newest.sequence && it.server_name.outpost_name() == Some(name);
        for older in others.into_iter().filter(is_older) {
            let collides =
                |it: &&AppliedObject| newest.objects.iter().any(|own| own.is_same_object(it) && !own.is_kept);
            if older.objects.iter().skip(1).any(|it| collides(&it)) {
                self.replace(older, newest, deadline).await?;
            }
        }
        Ok(())
    }

    async fn replace(
        self: &Arc<Self>,
        older: ServiceRecord,
        newest: &ServiceRecord,
        deadline: Deadline,
    ) -> Result<(), StartError> {
        if matches!(older.state, ServiceState::Starting | ServiceState::Running) {
            let details = Details::new("Service was replaced", "It was replaced by a newer start of the same server.");
            self.end_with(older.clone(), details).await.map_err(|_| StartError::EarlierStartRemains)?;
        }
        // A start that is under way finds out and ends first.
        let turn = self.turns.take(&name_of(&older), deadline).await;
        let _turn = turn.ok_or(StartError::EarlierStartRemains)?;
        let Some(older) = self.store.service(older.sequence).await? else { return Ok(()) };
        let mark = self.mark(&older);
        let Some((_, owned)) = older.objects.split_first() else { return Ok(()) };
        self.delete_all(owned, &mark, deadline).await?;
        self.delete_claims_of_stateful_sets(owned, &mark, deadline).await?;
        for object in owned.iter().filter(|it| newest.objects.iter().any(|own| own.is_same_object(it))) {
            self.wait_until_gone(object, deadline).await?;
        }
        Ok(())
    }

    async fn wait_until_gone(&self, object: &AppliedObject, deadline: Deadline) -> Result<(), StartError> {
        while !object.is_kept && self.is_there(object, deadline).await? {
            if deadline.has_passed() {
                return Err(StartError::EarlierStartRemains);
            }
            tokio::time::sleep(GOING_PAUSE).await;
        }
        Ok(())
    }

    /// An object whose uid was never learned is not looked for: whatever has its name may be somebody else's.
    async fn is_there(&self, object: &AppliedObject, deadline: Deadline) -> Result<bool, ClusterError> {
        match object.uid {
            Some(_) => Ok(self.cluster.read(object, deadline).await?.is_some()),
            None => Ok(false),
        }
    }
}
