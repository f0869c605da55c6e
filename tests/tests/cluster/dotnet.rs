//! The real .NET SDK and its client, where `HUBGATE_DOTNET_RIG` names the rig, with three nodes behind nginx: each request of clients, applications and hub
//! servers comes to another node.

use hubgate_tests::{Cluster, Gateway, ProxiedCluster, dotnet};

/// Some checks post more than clients may by default.
async fn behind_nginx(mode: &str) -> ProxiedCluster {
    let config = format!("server.limits.post = '16MiB'\nhubs.'*'.mode = '{mode}'");
    ProxiedCluster::start(Cluster::of(move || Gateway::serve().with(&config)), 3).await
}

/// All checks of the rig for a mode pass, or those that `more` names; gives how many.
async fn passed(mode: &str, more: &[&str]) -> Option<usize> {
    if !dotnet::is_at_hand() {
        return None;
    }
    let proxied = behind_nginx(mode).await;
    // What a node prints as its connection string is the proxy's.
    dotnet::suite(&proxied.cluster[0], &[&[mode], more].concat()).await
}

#[tokio::test]
async fn sends_groups_and_questions_of_hub_servers_reach_clients_wherever_both_are() {
    let filter = "connect.same-id-both-sides,send.*,group.*,result.*";
    if let Some(passed) = passed("default", &["--filter", filter]).await {
        assert_eq!(passed, 46);
    }
}

#[tokio::test]
#[ignore = "five minutes: scripts/cluster-tests.sh"]
async fn the_checks_of_default_mode_pass() {
    if let Some(passed) = passed("default", &[]).await {
        assert_eq!(passed, 170);
    }
}

#[tokio::test]
#[ignore = "five minutes: scripts/cluster-tests.sh"]
async fn the_checks_of_classic_mode_pass() {
    if let Some(passed) = passed("classic", &[]).await {
        assert_eq!(passed, 170);
    }
}

#[tokio::test]
#[ignore = "a minute: scripts/cluster-tests.sh"]
async fn the_checks_of_serverless_mode_pass() {
    if let Some(passed) = passed("serverless", &[]).await {
        assert_eq!(passed, 30);
    }
}
