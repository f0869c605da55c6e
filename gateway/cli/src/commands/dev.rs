//! `hubgate dev`: embedded defaults, for trying things out on one machine.

use std::path::PathBuf;

use anyhow::anyhow;
use hubgate_core::id::{HubName, UserId};
use hubgate_core::mode::Mode;
use hubgate_net::settings::Pages;
use hubgate_plugin_host::{BadPlugins, PluginSource};

use super::run_gateway::{self, Follows, RunOptions, Started};
use super::watch::WatchedProject;
use crate::config::{Allowed, DevelopedHandler, Development};
use crate::logging::Logging;
use crate::{Failure, demo, tell};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("made").args(["plugin", "watch"]))]
pub(crate) struct Arguments {
    /// A configuration file, which is read first: options win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The mode of all hubs that have no entry of their own [default: default]
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// A component that answers the clients of --hub. Without it and without --config, an embedded chat serves hub `chat`.
    #[arg(long, value_name = "FILE", requires = "hub")]
    plugin: Option<PathBuf>,
    /// A project instead of --plugin, which is built, and built and swapped again whenever one of its files is saved.
    #[arg(long, value_name = "FOLDER", requires = "hub", conflicts_with = "plugin")]
    watch: Option<PathBuf>,
    /// The hub of --plugin or --watch: serverless, open to everybody on this machine. Of a plugin of this name, the configuration's settings count.
    #[arg(long, value_name = "NAME", requires = "made")]
    hub: Option<String>,
    /// A value that the `config` import of --plugin or --watch answers with; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = set, requires = "made")]
    values: Vec<(String, String)>,
    /// What the `http` import of --plugin or --watch may reach, such as https://api.example.com; may be repeated.
    #[arg(long, value_name = "ORIGIN", requires = "made")]
    allow_http: Vec<Allowed>,
    /// Whom clients without a token are signed in as.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// A folder to serve at `/`.
    #[arg(long, value_name = "FOLDER")]
    www: Option<PathBuf>,
    /// Where the access key is kept between starts [default: hubgate-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ModeName {
    Default,
    Serverless,
    Classic,
}

fn set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

pub(crate) fn run(arguments: Arguments, logging: &Logging) -> Result<(), Failure> {
    let hub = hub(&arguments)?;
    if let Some(folder) = arguments.plugin.as_ref().filter(|plugin| plugin.is_dir()) {
        let folder = folder.display();
        return Err(Failure::Usage(anyhow!(
            "--plugin {folder}: is a folder; say --watch {folder} to build and serve it"
        )));
    }
    let project = arguments.watch.as_deref().map(WatchedProject::new).transpose().map_err(Failure::Usage)?;
    let config = Development {
        file: arguments.config.clone(),
        addresses: arguments.options.addresses(),
        mode: arguments.mode.map(|mode| match mode {
            ModeName::Default => Mode::Default,
            ModeName::Serverless => Mode::Serverless,
            ModeName::Classic => Mode::Classic,
        }),
        pages: pages(&arguments, hub.as_ref())?,
        handler: hub.clone().map(|hub| DevelopedHandler {
            hub,
            source: match (&arguments.plugin, &project) {
                (Some(file), _) => PluginSource::File(file.clone()),
                (None, Some(project)) => PluginSource::File(project.component()),
                (None, None) => PluginSource::Embedded(demo::COMPONENT),
            },
            config: arguments.values.clone(),
            allow_http: arguments.allow_http.clone(),
        }),
        data_dir: arguments.data_dir.clone(),
        user: user(&arguments)?,
    };
    let config = config.config()?;
    logging.set(Some(&config.log));
    config.log_warnings();
    let announce = |started: &Started<'_>| announce(started, &arguments, hub.as_ref());
    let (bad_plugins, follows) = match (project, &hub) {
        (Some(project), Some(hub)) => (BadPlugins::Refuse, Follows::Project(hub.to_string(), project)),
        _ => (BadPlugins::Fail, Follows::Nothing),
    };
    run_gateway::run(config, &arguments.options, bad_plugins, follows, announce)
}

/// The hub that is answered by --plugin, or by the chat where nothing else is configured.
fn hub(arguments: &Arguments) -> Result<Option<HubName>, Failure> {
    let name = match (&arguments.hub, &arguments.config) {
        (Some(name), _) => name.as_str(),
        (None, None) => demo::HUB,
        (None, Some(_)) => return Ok(None),
    };
    HubName::parse(name).map(Some).map_err(|error| Failure::Usage(anyhow!("--hub: {error}")))
}

fn pages(arguments: &Arguments, hub: Option<&HubName>) -> Result<Pages, Failure> {
    match &arguments.www {
        Some(folder) if !folder.is_dir() => {
            Err(Failure::Usage(anyhow!("--www {}: there is no such folder", folder.display())))
        }
        Some(folder) => Ok(Pages::Folder(folder.clone())),
        // The page speaks to hub `chat`, whichever component serves it.
        None if hub.is_some_and(|hub| hub.as_str() == demo::HUB) => Ok(Pages::Embedded(demo::PAGES)),
        None => Ok(Pages::None),
    }
}

fn user(arguments: &Arguments) -> Result<Option<String>, Failure> {
    let user = arguments.user.as_deref().map(UserId::parse).transpose();
    let user = user.map_err(|error| Failure::Usage(anyhow!("--as: {error}")))?;
    Ok(user.map(|user| user.as_str().to_owned()))
}

fn announce(started: &Started<'_>, arguments: &Arguments, hub: Option<&HubName>) {
    let url = started.url();
    let is_open = !started.listen_address().ip().is_loopback();
    tell(format_args!("connection string   {}", started.connection_string));
    if let Some(hub) = hub {
        let to_whom = if is_open { "no token needed" } else { "no token needed on this machine" };
        tell(format_args!("hub `{hub}`          {url}/hubs/{hub} ({to_whom})"));
        match (&arguments.plugin, &arguments.watch) {
            (Some(plugin), _) => {
                tell(format_args!("  answered by       {} (replaced when the file changes)", plugin.display()))
            }
            (None, Some(folder)) => tell(format_args!("  answered by       {} (built on each save)", folder.display())),
            (None, None) => tell(format_args!("  answered by       the embedded chat component")),
        }
    }
    if let Some(user) = &arguments.user {
        tell(format_args!("  signed in as      {user}"));
    }
    if let Some(file) = &arguments.config {
        tell(format_args!("configuration       {}", file.display()));
    }
    if arguments.www.is_some() || hub.is_some_and(|hub| hub.as_str() == demo::HUB) {
        tell(format_args!("page                {url}/"));
    }
    tell(format_args!("admin               {} (token {})", started.admin_url(), started.admin_token));
    if is_open {
        tell(format_args!("OPEN                everybody who reaches {} may use it", started.listen_address()));
    }
}
