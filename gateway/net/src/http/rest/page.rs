//! The table of operations in docs/rest-api.md, made of the table of routes.

use std::fmt::Write as _;
use std::path::Path;

use super::openapi::{may_be_absent, path_after_hub};
use super::table::{Kind, Route, Version};

const BEGIN: &str = "<!-- operations -->\n";
const END: &str = "<!-- end of operations -->";

/// The operations of a version, each with all of its routes.
fn operations(version: Version) -> Vec<Vec<&'static Route>> {
    let mut operations: Vec<Vec<&Route>> = Vec::new();
    for route in version.routes() {
        match operations.iter_mut().find(|routes| routes[0].operation.name == route.operation.name) {
            Some(routes) => routes.push(route),
            None => operations.push(vec![route]),
        }
    }
    operations
}

/// `POST /:send`, and `HEAD`, `GET` where one asks by both.
fn spelled(route: &Route) -> String {
    let methods = if route.method == "GET" { "HEAD`, `GET" } else { route.method };
    match path_after_hub(route) {
        path if path.is_empty() => format!("`{methods}`"),
        path => format!("`{methods} {path}`"),
    }
}

fn rows(version: Version, answer: impl Fn(&Route) -> String) -> String {
    let mut rows = String::new();
    for routes in operations(version) {
        let paths: Vec<String> = routes.iter().map(|route| spelled(route)).collect();
        let failed = if routes[0].kind == Kind::Invoke { ", 400" } else { "" };
        let absent = if may_be_absent(routes[0]) { ", 404" } else { "" };
        writeln!(
            rows,
            "| {} | {} | {}{failed}{absent} |",
            routes[0].operation.summary,
            paths.join(" or "),
            answer(routes[0])
        )
        .expect("a text takes all");
    }
    rows
}

fn table() -> String {
    let both = |route: &Route| {
        let [v2022, v1] = [Version::V2022, Version::V1].map(|version| version.success(route).as_u16());
        if v2022 == v1 { v1.to_string() } else { format!("{v2022} / {v1}") }
    };
    format!(
        "| what it does | after `{}/{{hub}}` and `{}/{{hub}}` | answer (2022-06-01 and later / v1) |\n|---|---|---|\n{}\n\
         | what it does | after `{}/{{hub}}` | answer |\n|---|---|---|\n{}",
        Version::V2022.prefix(),
        Version::V1.prefix(),
        rows(Version::V2022, both),
        Version::V1Preview.prefix(),
        rows(Version::V1Preview, |route| Version::V1Preview.success(route).as_u16().to_string()),
    )
}

/// `HUBGATE_BLESS=1` writes the page.
#[test]
fn the_page_lists_the_operations_of_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rest-api.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (present, after) = rest.split_once(END).expect("the table ends");
    let made = table();
    if std::env::var_os("HUBGATE_BLESS").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{made}{END}{after}")).expect("the page can be written");
    } else {
        assert_eq!(present, made, "run this test with HUBGATE_BLESS=1");
    }
}
