//! ASP.NET SignalR: real applications and clients of the protocol before ASP.NET Core, on the rig of its own.

use hubgate_tests::{Gateway, aspnet};

/// Checks that wait for no time-out: what clients and servers say to each other on all transports.
const QUICK: &str = "connect.*,call.*,send.*,group.*";

async fn gateway(more: &str) -> Gateway {
    // Some checks post more than clients may by default, and some are pages of another origin.
    let config = "server.limits.post = '16MiB'\nhubs.'*'.cors-origins = ['http://page.example:8080']";
    Gateway::serve().with(config).with(more).start().await
}

#[tokio::test]
async fn the_quick_checks_pass_in_default_mode() {
    if let Some(passed) = aspnet::suite(&gateway("").await, &["--filter", QUICK]).await {
        assert!(passed > 100, "{passed}");
    }
}

#[tokio::test]
async fn the_quick_checks_pass_in_classic_mode_with_four_shards() {
    let gateway = gateway("server.shards = 4\nhubs.'*'.mode = 'classic'").await;
    if let Some(passed) = aspnet::suite(&gateway, &["--filter", QUICK]).await {
        assert!(passed > 100, "{passed}");
    }
}

#[tokio::test]
async fn clients_sign_in_and_what_is_no_request_of_theirs_is_refused() {
    if let Some(passed) = aspnet::suite(&gateway("").await, &["--filter", "auth.*,raw.*,server.containers"]).await {
        assert!(passed > 30, "{passed}");
    }
}

#[tokio::test]
async fn clients_come_back_and_their_servers_come_and_go() {
    let skipped = "life.idle,life.gives-up,life.vanished,life.stalled,server.idle,server.name-clash";
    let arguments = ["--filter", "life.*,server.*", "--skip", skipped];
    if let Some(passed) = aspnet::suite(&gateway("server.shards = 2").await, &arguments).await {
        assert!(passed > 30, "{passed}");
    }
}
