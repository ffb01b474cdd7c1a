//! A newer start of a server replaces an older one whose objects have the names that it needs.
//!
//! For hubs of Outpost's protocol, where each start is a name of its own and a description may call its objects after the server:
//! a hub that lost sight of a start begins another. The older one has ended then; its record stays to say so. Never the other
//! way round: a start only ever looks at those before it.

use std::sync::Arc;

use super::{Services, StartError, name_of};
use crate::cluster::Deadline;
use crate::domain::record::Details;
use crate::domain::{AppliedObject, ServiceRecord, ServiceState};

/// How long a replaced server may take to end: the newer one waits for it, and its user for both.
const GRACE_SECONDS: u32 = 5;

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
                self.replace(older, deadline).await?;
            }
        }
        Ok(())
    }

    async fn replace(self: &Arc<Self>, older: ServiceRecord, deadline: Deadline) -> Result<(), StartError> {
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
        // A pod's name is needed at once.
        for pod in owned.iter().filter(|it| it.kind == "Pod" && !it.is_kept) {
            self.cluster.delete_within(pod, &mark, Some(GRACE_SECONDS), deadline).await?;
        }
        self.delete_all(owned, &mark, deadline).await?;
        // What is still going is waited for where its name is needed.
        self.delete_claims_of_stateful_sets(owned, &mark, deadline).await?;
        Ok(())
    }
}
