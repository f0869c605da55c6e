//! Budgets of processor time, memory and time.

use serde_json::json;

use crate::handler::UNEXPECTED;
use crate::rig::Rig;

pub(crate) async fn break_off_what_goes_beyond_and_nothing_else(rig: &Rig) {
    let mut client = rig.gateway.client("hasty").connect().await;
    let slow = format!("{}/never", rig.silent);
    let beyond =
        [("spin", json!([]), "cpu-time"), ("grow", json!([]), "memory"), ("fetch", json!([slow]), "call-time")];
    for (method, arguments, budget) in beyond {
        let labels = [("plugin", "hasty"), ("budget", budget)];
        let before = rig.gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await;
        let error = client.call(method, arguments).await.expect_err("it is broken off");
        assert!(error.starts_with(UNEXPECTED), "{error}");
        let exceeded = rig.gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await - before;
        assert_eq!(exceeded, 1.0, "{method}: {budget}: {error}");
        assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")), "the next call after {method}");
    }
}
