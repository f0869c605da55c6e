//! Names that would mean something in NATS's subjects mean nothing there.

use http::Method;
use hubgate_tests::http::escaped;

use crate::{Peer, asked, join, serverless, tell};

#[tokio::test]
async fn names_of_hubs_users_and_groups_may_be_whatever_they_may_be_without_a_cluster() {
    let longest = "n".repeat(1_024);
    let names = [
        ".", "*", ">", "a.b", "a.*", "a.>", "$SYS.>", "_INBOX", " x ", "a b", "x\t", "😀", "ä", "/", "%2E", "\\",
        &longest,
    ];
    let cluster = serverless().start(2).await;
    for hub in ["a.b", "a.b.c", "a[.]`,_", &"h".repeat(128)] {
        let escaped_hub = escaped(hub);
        for name in names {
            let mut peer = Peer::connect(&cluster[1], &escaped_hub, name).await;
            let mut other = Peer::connect(&cluster[1], &escaped_hub, "another").await;
            join(&cluster[0], hub, &peer.id, name).await;
            for to in [format!("/users/{}", escaped(name)), format!("/groups/{}", escaped(name))] {
                assert_eq!(asked(&cluster[0], Method::HEAD, hub, &to).await, 200, "{hub} {name}");
                tell(&cluster[0], hub, &to, name).await;
                assert_eq!(peer.told().await, name, "{hub} {to}");
            }
            tell(&cluster[0], hub, &format!("/connections/{}", other.id), "only this").await;
            assert_eq!(other.told().await, "only this", "{hub} {name}");
        }
    }
    // Hubs whose subjects would overlap.
    let mut within = Peer::connect(&cluster[1], "a.b.c", "ann").await;
    let mut around = Peer::connect(&cluster[1], "a.b", "ann").await;
    tell(&cluster[0], "a.b", "", "around").await;
    tell(&cluster[0], "a.b.c", "", "within").await;
    assert_eq!((around.told().await, within.told().await), ("around".to_owned(), "within".to_owned()));
}
