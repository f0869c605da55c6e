//! Every operation of the REST API in every mode, on four threads.

use hubgate_tests::Gateway;
use hubgate_tests::rest_operations::{Hub, Mode};

/// Each operation is tried so often.
const TIMES: usize = 4;

#[tokio::test]
async fn every_operation_does_the_same_in_every_mode_on_four_threads() {
    let gateway = Gateway::serve()
        .with(
            r#"
            server.shards = 4
            hubs.bare.mode = "serverless"
            hubs.proxied.mode = "default"
            hubs.mixed.mode = "classic"
            hubs.alone.mode = "classic"
            "#,
        )
        .start()
        .await;
    let in_mode = async |mode, name| Hub::new(std::slice::from_ref(&gateway), mode, name).await.tries_all(TIMES).await;
    let tried = tokio::join!(
        in_mode(Mode::Serverless, "bare"),
        in_mode(Mode::Default, "proxied"),
        in_mode(Mode::ClassicWithServer, "mixed"),
        in_mode(Mode::ClassicWithoutServer, "alone"),
    );
    assert!(tried.0 > 90 && [tried.1, tried.2, tried.3] == [tried.0; 3], "{tried:?}");
}
