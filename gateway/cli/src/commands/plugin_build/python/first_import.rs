//! A project's first import, by the Python of the machine that builds it: what the tool that makes components says after half a
//! minute is mostly told within a second.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::super::tool;
use super::{ENTRY, World};

/// Imports what the entry does.
const SCRIPT: &str = include_str!("first_import.py");
/// The script's exit status for what the build would refuse as well.
const ENDS_THE_BUILD: i32 = 3;
/// Packages that open sockets.
const PACKAGES_WITH_SOCKETS: [&str; 8] =
    ["aiohttp", "grpc", "httpcore", "httpx", "redis", "requests", "urllib3", "websockets"];

/// Fails for mistakes; tells what may be one. Without a Python, or with one that cannot tell, it does nothing: the build tells.
pub(super) fn check(folder: &Path, libraries: &Path, world: World) -> Result<()> {
    let Some(mut python) = python(folder) else { return Ok(()) };
    python.args(["-B", "-c", SCRIPT]).arg(folder).arg(libraries).arg(ENTRY);
    python.args(missing(world));
    let Ok(output) = python.current_dir(libraries).stdin(Stdio::null()).output() else { return Ok(()) };
    let found = String::from_utf8_lossy(&output.stdout);
    let found = found.trim_end();
    match output.status.code() {
        Some(ENDS_THE_BUILD) => bail!("{}", advised(found)),
        Some(0) if !found.is_empty() => tool::say(format_args!(
            "This machine's Python cannot import the project; that of components decides.\n{}\n",
            advised(found)
        )),
        Some(_) | None => {}
    }
    Ok(())
}

/// The interfaces that some worlds import and this one does not. An authorizer's own types are in a module that needs all but `http`.
fn missing(world: World) -> impl Iterator<Item = &'static str> {
    let is = |kind: &str| world.name().starts_with(kind);
    let http = (!world.name().ends_with("-with-http")).then_some("http");
    let filtering = is("handler").then_some("filtering");
    let of_whole_hubs: &[&str] = match is("handler") || is("filter") {
        true => &["streams", "client_results", "timers", "presence"],
        false => &[],
    };
    http.into_iter().chain(filtering).chain(of_whole_hubs.iter().copied())
}

/// The interpreter whose packages the project gets: that of its own environment if it has one, otherwise that of `PATH`.
fn python(folder: &Path) -> Option<Command> {
    let own = folder.join(".venv/bin/python3");
    if own.is_file() { Some(Command::new(own)) } else { tool::find("python3").map(Command::new) }
}

/// Python's complaint, and what to do where a module is missing.
pub(super) fn advised(complaint: &str) -> String {
    let missing = complaint.rsplit_once("ModuleNotFoundError: No module named '");
    let package = missing.and_then(|(_, name)| name.split(['.', '\'']).next());
    let advice = match package {
        None => return complaint.to_owned(),
        Some(package) if PACKAGES_WITH_SOCKETS.contains(&package) => format!(
            "a component has no sockets, which {package} needs: send HTTP requests with `hubgate.http`, in a world \
             whose name ends with `-with-http`"
        ),
        Some(package) if package.starts_with('_') => {
            format!("a component's standard library is without {package}, which is written in C")
        }
        Some(package) => format!(
            "if {package} is a package, install it into the project's .venv: `python3 -m venv .venv && .venv/bin/pip \
             install …`"
        ),
    };
    format!("{complaint}\n{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_told_with_what_to_do() {
        for (module, advice) in [
            ("yaml", "install it into the project's .venv"),
            ("yaml.nodes", "if yaml is a package, install it"),
            ("requests", "no sockets, which requests needs: send HTTP requests with `hubgate.http`"),
            ("_ssl", "a component's standard library is without _ssl"),
        ] {
            let complaint = format!("File \"app.py\", line 1\nModuleNotFoundError: No module named '{module}'");
            let told = advised(&complaint);
            assert!(told.starts_with(&complaint) && told.contains(advice), "{told}");
        }
        assert_eq!(advised("NameError: name 'x' is not defined"), "NameError: name 'x' is not defined");
    }
}
