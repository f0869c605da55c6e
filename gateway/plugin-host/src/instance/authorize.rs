//! Asks an instance about a request that wants to become a client.

use hubgate_core::pairs::Pairs;

use super::{Broken, Instance, completed, no_export};
use crate::authorization::{Authorization, AuthorizeCall};
use crate::convert;
use crate::host::{EventOf, Term};
use crate::limits::HOST_CALL_BYTES;

impl Instance {
    /// Asks the guest about a request. After an error the instance must not be used again.
    pub(crate) async fn authorize(&mut self, call: &AuthorizeCall, term: Term) -> Result<Authorization, Broken> {
        self.calls_left = self.calls_left.saturating_sub(1);
        let Some(authorizer) = &self.loaded.authorizer else {
            return Ok(no_export("authorizer").into());
        };
        let store = &mut self.store;
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.data_mut().begin(EventOf::Hub(call.hub.clone()), Pairs::default(), term);
        let (headers, query) = (convert::lent_pairs(&call.headers), convert::lent_pairs(&call.query));
        let answer = authorizer.call_authorize(&mut *store, convert::request(call, &headers, &query)).await;
        let actions = store.data_mut().end();
        let result = convert::authorization(completed(store, answer)?);
        let actions = if result.is_ok() { actions } else { Vec::new() };
        Ok(Authorization { result, actions })
    }
}
