//! Pages of other origins, as browsers see to them.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::http::Answer;

const PAGE: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example.com";
const PATHS: [&str; 2] = ["/client/negotiate?hub=probe", "/hubs/probe/negotiate"];
/// What the clients of browsers send beside a token.
const HEADERS: &str = "authorization,x-requested-with,x-signalr-user-agent";

async fn gateway(origins: &str) -> Gateway {
    Gateway::probe().with(&format!("hubs.probe.cors-origins = {origins}")).start().await
}

async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> Answer {
    let request = gateway.request(Method::OPTIONS, path).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request.header("access-control-request-headers", HEADERS).send().await
}

async fn negotiate(gateway: &Gateway, path: &str, origin: &str) -> Answer {
    let token = gateway.token("probe").sign();
    gateway.request(Method::POST, path).header("origin", origin).bearer(&token).send().await
}

#[tokio::test]
async fn a_page_that_is_allowed_may_ask_with_credentials() {
    let gateway = gateway("['https://first.example.com', 'https://app.example.com']").await;
    for path in PATHS {
        let answer = preflight(&gateway, path, PAGE).await;
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
        assert_allowed(&answer, PAGE);
        assert!(lists(&answer, "access-control-allow-methods", "POST"), "{:?}", answer.headers);
        for header in HEADERS.split(',') {
            assert!(lists(&answer, "access-control-allow-headers", header), "{header}: {:?}", answer.headers);
        }

        let answer = negotiate(&gateway, path, PAGE).await;
        assert_eq!(answer.status, 200);
        assert_allowed(&answer, PAGE);
    }
}

#[tokio::test]
async fn a_page_that_is_allowed_may_read_why_it_is_refused() {
    let gateway = gateway("['https://app.example.com']").await;
    let answer = gateway.request(Method::POST, PATHS[0]).header("origin", PAGE).send().await;
    assert_eq!(answer.status, 401);
    assert_allowed(&answer, PAGE);
}

#[tokio::test]
async fn a_page_that_is_not_allowed_learns_nothing() {
    for origins in ["[]", "['https://app.example.com']"] {
        let gateway = gateway(origins).await;
        for path in PATHS {
            for origin in [OTHER, "https://app.example.com.evil.example.com", "http://app.example.com", "null"] {
                for answer in [preflight(&gateway, path, origin).await, negotiate(&gateway, path, origin).await] {
                    assert_eq!(answer.header("access-control-allow-origin"), "", "{path} {origin}");
                    assert_eq!(answer.header("access-control-allow-credentials"), "", "{path} {origin}");
                }
            }
        }
    }
}

#[tokio::test]
async fn any_page_may_be_allowed_without_credentials() {
    let gateway = gateway("['*']").await;
    for answer in [preflight(&gateway, PATHS[0], OTHER).await, negotiate(&gateway, PATHS[0], OTHER).await] {
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn what_is_allowed_is_each_hubs_own() {
    let config = "hubs.other = { mode = 'serverless', negotiate = { anonymous = true }, cors-origins = [] }";
    let gateway =
        Gateway::probe().with("hubs.probe.cors-origins = ['https://app.example.com']").with(config).start().await;
    assert_eq!(negotiate(&gateway, "/hubs/other/negotiate", PAGE).await.header("access-control-allow-origin"), "");
    assert_allowed(&negotiate(&gateway, "/hubs/probe/negotiate", PAGE).await, PAGE);
}

#[tokio::test]
async fn dev_allows_the_pages_of_this_machine_and_no_others() {
    let gateway = Gateway::dev([]).start().await;
    let path = "/hubs/chat/negotiate";
    for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "https://localhost"] {
        assert_allowed(&preflight(&gateway, path, origin).await, origin);
        assert_allowed(&negotiate(&gateway, path, origin).await, origin);
    }
    for origin in [OTHER, "http://localhost.evil.example.com", "http://localhost@evil.example.com", "null"] {
        let answer = negotiate(&gateway, path, origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
}

fn assert_allowed(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert!(lists(answer, "vary", "origin"), "caches must tell origins apart: {:?}", answer.headers);
}

fn lists(answer: &Answer, header: &str, item: &str) -> bool {
    let values = answer.headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(item))
}
