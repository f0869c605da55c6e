//! The dashboards and alerts of `packaging/`: they ask for metrics and labels that there are, and each alert has its runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use http::Method;
use hubgate_tests::command::{Finished, leavings, repository};
use hubgate_tests::{Cluster, Gateway};
use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::token::{T_LAND, T_LOR, T_LUNLESS, TokenType};
use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector,
};
use serde_json::{Value, json};

type Labels = BTreeSet<String>;

/// Where Prometheus tells of each gateway.
const OF_TARGETS: [&str; 2] = ["job", "instance"];

fn labels<'a>(names: impl IntoIterator<Item = &'a str>) -> Labels {
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A row of the table in `docs/metrics.md`.
struct Metric {
    name: String,
    labels: Labels,
    kind: String,
}

fn table() -> Vec<Metric> {
    let page = fs::read_to_string(repository().join("docs/metrics.md")).expect("the page is there");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `hubgate_"));
    let metrics = rows.map(|row| {
        let (series, rest) = row.split_once("` | ").expect("a row begins with the metric");
        let (name, names) = series.split_once('{').unwrap_or((series, "}"));
        let kind = rest.split(" | ").next().expect("a row has a kind").to_owned();
        Metric { name: format!("hubgate_{name}"), labels: labels(names.trim_end_matches('}').split(',')), kind }
    });
    metrics.collect()
}

/// The labels of each series that Prometheus has, by its name.
fn series() -> BTreeMap<String, Labels> {
    let mut series = BTreeMap::from([("up".to_owned(), Labels::new())]);
    for Metric { name, labels, kind } in table() {
        match kind.as_str() {
            "histogram" => {
                series.insert(format!("{name}_bucket"), labels.iter().cloned().chain(["le".to_owned()]).collect());
                series.insert(format!("{name}_sum"), labels.clone());
                series.insert(format!("{name}_count"), labels);
            }
            _ => drop(series.insert(name, labels)),
        }
    }
    for labels in series.values_mut() {
        labels.extend(OF_TARGETS.map(str::to_owned));
    }
    series
}

async fn metrics_of(gateway: &Gateway) -> String {
    gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await.body
}

#[tokio::test]
async fn the_table_of_metrics_has_what_a_gateway_tells_and_nothing_else() {
    let cluster = Cluster::of(Gateway::probe_hub).start(1).await;
    let gateway = &cluster[0];
    let mut client = gateway.client("probe").connect().await;
    client.call("joinUser", json!(["ann", "room"])).await.expect("the probe answers");
    let sent = gateway.rest(Method::POST, "/api/v1/hubs/probe").json(&json!({"target": "said", "arguments": []}));
    assert_eq!(sent.send().await.status, 202);
    let told = metrics_of(gateway).await;
    // One of a cluster gets no certificates by itself; and who has no collector tells nothing of it.
    let certified = Gateway::serve().with(
        "server.tls.acme = { directory = 'https://127.0.0.1:1/dir', email = 'ops@example.com', domains = ['chat.example.com'] }\n\
         telemetry.otlp = 'http://127.0.0.1:1'\n\
         telemetry.resource-logs.file = 'resource.log'",
    );
    let told = format!("{told}{}", metrics_of(&certified.start().await).await);
    let rows = table();
    let mut families = BTreeSet::new();
    for (family, kind) in told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let name = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
        let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("the page lacks {name}"));
        assert_eq!(row.kind, kind, "{name}");
        families.insert(name);
    }
    let untold: Vec<&str> = rows.iter().map(|row| row.name.as_str()).filter(|name| !families.contains(*name)).collect();
    assert!(untold.is_empty(), "no gateway tells {untold:?}");
    let known = series();
    for sample in told.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = sample.split_at(sample.find(['{', ' ']).expect("a sample has a value"));
        let mut names = labels(OF_TARGETS);
        let inside = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
        names.extend(inside.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned()));
        assert_eq!(known.get(name), Some(&names), "{sample}");
    }
}

/// What is wrong with a query, or the labels that its result has.
fn result_of(query: &str, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    let expression = promql_parser::parser::parse(query).map_err(|error| format!("{query}: {error}"))?;
    labels_of(&expression, known).map_err(|error| format!("{query}: {error}"))
}

fn labels_of(expression: &Expr, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    match expression {
        Expr::VectorSelector(selector) => of_selector(selector, known),
        Expr::MatrixSelector(matrix) => of_selector(&matrix.vs, known),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate, known),
        Expr::Binary(binary) => of_binary(binary, known),
        Expr::Call(call) => of_call(call, known),
        Expr::Paren(inner) => labels_of(&inner.expr, known),
        Expr::Unary(inner) => labels_of(&inner.expr, known),
        Expr::Subquery(inner) => labels_of(&inner.expr, known),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Labels::new()),
        Expr::Extension(_) => Err("the parser makes no extensions".to_owned()),
    }
}

fn of_selector(selector: &VectorSelector, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    let name = selector.name.as_deref().ok_or("a selector without a name")?;
    let labels = known.get(name).ok_or_else(|| format!("there is no metric {name}"))?;
    let Matchers { matchers, or_matchers } = &selector.matchers;
    for matcher in matchers.iter().chain(or_matchers.iter().flatten()) {
        require(&matcher.name, labels, name)?;
    }
    Ok(labels.clone())
}

fn require(label: &str, labels: &Labels, of: &str) -> Result<(), String> {
    if labels.contains(label) { Ok(()) } else { Err(format!("{of} has no label {label}, but {labels:?}")) }
}

fn of_aggregate(aggregate: &AggregateExpr, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    let inner = labels_of(&aggregate.expr, known)?;
    let (Some(LabelModifier::Include(named)) | Some(LabelModifier::Exclude(named))) = &aggregate.modifier else {
        return Ok(Labels::new());
    };
    for label in &named.labels {
        require(label, &inner, "what is aggregated")?;
    }
    let named: Labels = named.labels.iter().cloned().collect();
    let keeps = matches!(aggregate.modifier, Some(LabelModifier::Include(_)));
    Ok(if keeps { named } else { inner.difference(&named).cloned().collect() })
}

fn of_binary(binary: &BinaryExpr, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    let (left, right) = (labels_of(&binary.lhs, known)?, labels_of(&binary.rhs, known)?);
    let is_set = [T_LAND, T_LOR, T_LUNLESS].map(TokenType::new).contains(&binary.op);
    let is_number = |side: &Expr| matches!(side, Expr::NumberLiteral(_));
    if is_number(&binary.lhs) {
        return Ok(right);
    }
    if is_number(&binary.rhs) {
        return Ok(left);
    }
    let modifier = binary.modifier.as_ref();
    let group_left = modifier.is_some_and(|modifier| matches!(modifier.card, VectorMatchCardinality::ManyToOne(_)));
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(on)) => {
            for label in &on.labels {
                require(label, &left, "the left side")?;
                require(label, &right, "the right side")?;
            }
            Ok(if is_set || group_left { left } else { on.labels.iter().cloned().collect() })
        }
        Some(LabelModifier::Exclude(_)) => Err("not expected here: ignoring".to_owned()),
        // The value of `or vector(0)` is that of nothing.
        None if binary.op == TokenType::new(T_LOR) => Ok(left),
        None if left == right => Ok(left),
        None => Err(format!("nothing of one side is found on the other: {left:?}, {right:?}")),
    }
}

fn of_call(call: &Call, known: &BTreeMap<String, Labels>) -> Result<Labels, String> {
    let mut result = Labels::new();
    for argument in &call.args.args {
        result.extend(labels_of(argument, known)?);
    }
    match call.func.name {
        "histogram_quantile" => {
            require("le", &result, "what the quantile is of")?;
            result.remove("le");
        }
        "absent" => {
            let Some(Expr::VectorSelector(selector)) = call.args.args.first().map(AsRef::as_ref) else {
                return Err("not expected here: absent of more than a selector".to_owned());
            };
            let equal = selector.matchers.matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal);
            result = equal.map(|matcher| matcher.name.clone()).collect();
        }
        _ => {}
    }
    Ok(result)
}

/// The names in `{{ … }}` of a text, where each begins with `prefix`.
fn placeholders<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    inside.filter_map(move |name| name.trim().strip_prefix(prefix))
}

#[test]
fn queries_with_names_that_are_not_there_are_found() {
    let known = series();
    let wrong = [
        ("sum(hubgate_client_connection)", "there is no metric hubgate_client_connection"),
        ("hubgate_client_connections{user='ann'}", "has no label user"),
        ("sum by (plugin) (hubgate_client_connections)", "has no label plugin"),
        ("sum by (hub) (sum by (job) (hubgate_client_connections))", "has no label hub"),
        ("sum by (hub) (hubgate_client_connections) / sum(hubgate_client_connections)", "nothing of one side"),
        ("histogram_quantile(0.9, hubgate_plugin_call_seconds_sum)", "has no label le"),
        ("hubgate_cluster_nodes != on (hub) group_left () count by (job) (hubgate_cluster_nodes)", "has no label hub"),
        ("rate(hubgate_messages_total[5m]", "unclosed left parenthesis"),
    ];
    for (query, why) in wrong {
        let error = result_of(query, &known).expect_err(query);
        assert!(error.contains(why), "{error}");
    }
    let good = "histogram_quantile(0.9, sum by (plugin, le) (rate(hubgate_plugin_call_seconds_bucket[5m])))";
    assert_eq!(result_of(good, &known), Ok(labels(["plugin"])));
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value}"))
}

fn alerts() -> Vec<Value> {
    let file = fs::read_to_string(repository().join("packaging/prometheus/rules.yaml")).expect("the rules are there");
    let rules: Value = serde_saphyr::from_str(&file).expect("valid YAML");
    list(&rules, "groups").iter().flat_map(|group| list(group, "rules").to_vec()).collect()
}

#[test]
fn alerts_ask_for_what_there_is_and_say_in_words_what_it_means() {
    let known = series();
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = text(&alert, "alert");
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let result = result_of(text(&alert, "expr"), &known).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(["critical", "warning"].contains(&text(&alert["labels"], "severity")), "{name}");
        let summary = text(&alert["annotations"], "summary");
        assert!(summary.ends_with('.') && summary.len() > 30, "{name}: {summary}");
        for label in placeholders(summary, "$labels.") {
            require(label, &result, name).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    assert!(names.len() > 20, "{names:?}");
}

/// Prometheus's own tool, which `scripts/test.sh` takes out of Debian's package.
fn promtool() -> Command {
    let program = leavings("prometheus").join("usr/bin/promtool");
    assert!(program.is_file(), "{} is not there: scripts/test.sh fetches it", program.display());
    Command::new(program)
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let file = repository().join("tests/prometheus/alerts.yaml");
    let tried = Finished::of(promtool().args(["test", "rules"]).arg(&file));
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);
    let cases: Value = serde_saphyr::from_str(&fs::read_to_string(file).expect("it is there")).expect("valid YAML");
    let checks = list(&cases, "tests").iter().flat_map(|case| list(case, "alert_rule_test"));
    let firing: BTreeSet<&str> =
        checks.filter(|check| !list(check, "exp_alerts").is_empty()).map(|check| text(check, "alertname")).collect();
    for alert in alerts() {
        let name = text(&alert, "alert");
        assert!(firing.contains(name), "nothing lets {name} fire");
    }
}

#[test]
fn prometheus_takes_its_examples() {
    for example in ["packaging/prometheus/prometheus.yml", "packaging/compose/prometheus.yml"] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let config = fs::read_to_string(repository().join(example)).expect("it is there").replace("/run/secrets/", "");
        fs::write(folder.path().join("prometheus.yml"), config).expect("there is room");
        fs::write(folder.path().join("admin-token"), "0123456789abcdef").expect("there is room");
        let rules = repository().join("packaging/prometheus/rules.yaml");
        fs::copy(rules, folder.path().join("rules.yaml")).expect("there is room");
        let mut command = promtool();
        let checked = Finished::of(command.args(["check", "config", "prometheus.yml"]).current_dir(folder.path()));
        assert_eq!(checked.code, Some(0), "{example}: {}{}", checked.stdout, checked.stderr);
    }
}

#[test]
fn each_alert_has_its_section_in_the_runbooks_and_each_section_its_alert() {
    let page = fs::read_to_string(repository().join("docs/runbooks.md")).expect("the page is there");
    let sections: Vec<(&str, &str)> = page.split("\n## ").skip(1).filter_map(|part| part.split_once('\n')).collect();
    let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
    let alerts = alerts();
    assert_eq!(names, alerts.iter().map(|alert| text(alert, "alert")).collect::<Vec<_>>(), "in the order of the rules");
    for ((name, section), alert) in sections.iter().zip(&alerts) {
        for part in ["\n**Means**: ", "\n**Look at**: ", "\n**Do**: "] {
            assert_eq!(section.matches(part).count(), 1, "{name}: {part}");
        }
        let url = text(&alert["annotations"], "runbook_url");
        assert_eq!(url, format!("file:///usr/share/doc/hubgate/runbooks.md#{}", name.to_lowercase()));
    }
}

/// A dashboard by the name of its file.
fn dashboards() -> BTreeMap<String, Value> {
    let files = fs::read_dir(repository().join("packaging/grafana")).expect("the dashboards are there");
    let files = files.map(|file| file.expect("it can be listed").path()).filter(|file| file.extension().is_some());
    let read = files.map(|file| {
        let content = fs::read_to_string(&file).expect("it can be read");
        let name = file.file_stem().expect("it has a name").to_string_lossy().into_owned();
        (name, serde_json::from_str(&content).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    });
    read.collect()
}

/// A query as Prometheus gets it from Grafana.
fn asked(query: &str) -> String {
    query.replace("$__rate_interval", "1m")
}

#[test]
fn dashboards_ask_for_what_there_is_and_show_all_of_it() {
    let known = series();
    let mut shown = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        for target in list(&dashboard, "panels").iter().filter_map(|panel| panel.get("targets")?.as_array()).flatten() {
            let query = asked(text(target, "expr"));
            let result = result_of(&query, &known).unwrap_or_else(|error| panic!("{file}: {error}"));
            for label in placeholders(text(target, "legendFormat"), "") {
                require(label, &result, &query).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
            shown.extend(known.keys().filter(|name| query.contains(&format!("{name}{{"))).cloned());
        }
        for variable in list(&dashboard["templating"], "list").iter().filter(|variable| variable["type"] == "query") {
            let asked = text(&variable["query"], "query");
            let inside = asked.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (query, label) = inside.and_then(|inside| inside.rsplit_once(", ")).expect("values of a label");
            let result = result_of(query, &known).unwrap_or_else(|error| panic!("{file}: {error}"));
            require(label, &result, query).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
    let hidden: Vec<&String> = known.keys().filter(|name| !shown.contains(*name)).collect();
    assert!(hidden.is_empty(), "no dashboard has {hidden:?}");
}

#[test]
fn dashboards_can_be_imported_anywhere_and_explain_themselves() {
    let (mut ids, dashboards) = (BTreeSet::new(), dashboards());
    assert_eq!(dashboards.keys().collect::<Vec<_>>(), ["cluster", "hubs", "overview", "plugins"]);
    for (file, dashboard) in &dashboards {
        assert!(ids.insert(text(dashboard, "uid")) && dashboard.get("id").is_none(), "{file}");
        assert!(text(dashboard, "description").ends_with('.'), "{file}");
        let variables = list(&dashboard["templating"], "list");
        assert!(variables.iter().any(|each| each["name"] == "datasource" && each["type"] == "datasource"), "{file}");
        let (mut panel_ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(dashboard, "panels") {
            let what = format!("{file}: {}", text(panel, "title"));
            assert!(panel_ids.insert(panel["id"].as_u64()), "{what}: its id is there twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().expect("a number"));
            assert!(x + w <= 24, "{what}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{what} lies on another panel");
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(text(panel, "description").ends_with('.'), "{what}");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{what}");
            for asking in list(panel, "targets").iter().chain([panel]) {
                assert_eq!(asking["datasource"], json!({"type": "prometheus", "uid": "${datasource}"}), "{what}");
            }
            for target in list(panel, "targets") {
                for variable in asked(text(target, "expr")).split('"').filter_map(|value| value.strip_prefix('$')) {
                    assert!(variables.iter().any(|each| each["name"] == variable), "{what}: {variable}");
                }
            }
        }
    }
}
