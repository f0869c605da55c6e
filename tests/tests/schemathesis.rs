//! The OpenAPI document from outside: Schemathesis makes requests of it, good ones and bad ones, and looks at the answers.

use std::process::Stdio;

use hubgate_tests::Gateway;
use hubgate_tests::command::{leavings, repository};
use hubgate_tests::wait::{DEADLINE, within};
use tokio::process::Command;

/// How many requests are made for each operation at random; `scripts/schemathesis.sh` asks for more.
fn examples() -> u32 {
    std::env::var("HUBGATE_SCHEMATHESIS_EXAMPLES").map_or(2, |number| number.parse().expect("a number"))
}

#[tokio::test]
async fn requests_made_of_the_document_are_answered_as_it_says() {
    let gateway = Gateway::serve().with("hubs.\"*\".mode = 'serverless'").start().await;
    let (program, folder) =
        (leavings("schemathesis").join("bin/schemathesis"), repository().join("tests/schemathesis"));
    assert!(program.is_file(), "{} is not there: scripts/test.sh installs it", program.display());
    let examples = examples();
    let mut command = Command::new(program);
    command.arg("--config-file").arg(folder.join("schemathesis.toml")).arg("run");
    command.arg(format!("{}/api/openapi.json", gateway.url()));
    command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]);
    command.args(["--seed", "1", "--generation-database", "none", "--max-examples", &examples.to_string()]);
    // The hub's operations need tokens for their paths, which the hooks sign.
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("HUBGATE_URL", gateway.url()).env("HUBGATE_KEY", gateway.key());
    command.current_dir(gateway.folder()).stdin(Stdio::null()).kill_on_drop(true);
    let run = within(DEADLINE * (8 + examples), "Schemathesis to end", command.output()).await;
    let run = run.expect("Schemathesis can be run");
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
}
