//! Asks the authorizer of a hub on one shard.

use hubgate_core::event::UpstreamFailure;

use super::{Pool, ShardPlugins};
use crate::authorization::{Authorization, AuthorizeCall, Grant, Refused};
use crate::breakers::Caller;
use crate::instance::Instance;
use crate::metrics::Outcome;
use crate::peers::Peer;

/// How the call is called in the log.
const NAME: &str = "authorize";

impl ShardPlugins {
    /// Asks a plugin whether a request may become a client, in the same way as [`ShardPlugins::call`] brings an event.
    pub fn authorize(&self, call: AuthorizeCall) -> impl Future<Output = Authorization> + use<> {
        let pool = self.pools.borrow().get(&call.plugin).cloned();
        async move {
            match pool {
                Some(pool) => pool.authorize(&call).await,
                None => UpstreamFailure::Failed(format!("there is no plugin {:?}", call.plugin)).into(),
            }
        }
    }
}

impl Pool {
    async fn authorize(&self, call: &AuthorizeCall) -> Authorization {
        let attempt = self.attempt(Caller { hub: &call.hub, peer: Peer::of_address(&call.hub, &call.remote_address) });
        let ask = async |instance: &mut Instance, term| instance.authorize(call, term).await;
        let ran = self.run(&self.authorizing, async || self.call(ask, &attempt).await, &attempt).await;
        let (outcome, authorization) = match ran {
            Ok(authorization) => (outcome(&authorization.result), authorization),
            Err(broken) => (broken.outcome(), UpstreamFailure::from(broken).into()),
        };
        self.record(outcome, &attempt);
        if let Err(Refused::Failed(failure)) = &authorization.result
            && !attempt.passages.get().are_closed()
        {
            self.plugin.surroundings.log.failure(&call.hub, None, NAME, (outcome, failure));
        }
        authorization
    }
}

/// Of a call that left its instance whole.
fn outcome(result: &Result<Grant, Refused>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(Refused::Unauthorized(_) | Refused::Forbidden(_)) => Outcome::Rejected,
        Err(Refused::Failed(_)) => Outcome::Failed,
    }
}
