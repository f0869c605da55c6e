//! `hubgate dev`: embedded defaults, for trying things out on one machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_net::settings::Pages;
use hubgate_plugin_host::{BadPlugins, PluginSource};

use super::run_gateway::{self, RunOptions, Started};
use crate::config::{ADMIN_LISTEN, Development, LISTEN, access_key_in};
use crate::{Failure, demo};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The mode of all hubs but the plugin's.
    #[arg(long, value_enum, default_value_t = ModeName::Default)]
    mode: ModeName,
    /// A component that answers the clients of --hub. Without it, an embedded chat serves hub `chat`.
    #[arg(long, value_name = "FILE", requires = "hub")]
    plugin: Option<PathBuf>,
    /// The hub of --plugin: serverless, open to everybody on this machine.
    #[arg(long, value_name = "NAME", requires = "plugin")]
    hub: Option<String>,
    /// A folder to serve at `/`.
    #[arg(long, value_name = "FOLDER")]
    www: Option<PathBuf>,
    /// Where the access key is kept between starts.
    #[arg(long, value_name = "FOLDER", default_value = "hubgate-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ModeName {
    Default,
    Serverless,
    Classic,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mode = match arguments.mode {
        ModeName::Default => Mode::Default,
        ModeName::Serverless => Mode::Serverless,
        ModeName::Classic => Mode::Classic,
    };
    let hub = arguments.hub.as_deref().unwrap_or(demo::HUB);
    let hub = HubName::parse(hub).map_err(|error| Failure::Usage(anyhow!("--hub: {error}")))?;
    let is_chat = hub.as_str() == demo::HUB;
    let pages = match &arguments.www {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::Usage(anyhow!("--www {}: there is no such folder", folder.display())));
        }
        Some(folder) => Pages::Folder(folder.clone()),
        // The page speaks to hub `chat`, whichever component serves it.
        None if is_chat => Pages::Embedded(demo::PAGES),
        None => Pages::None,
    };
    let access_key = access_key_in(&arguments.data_dir)
        .with_context(|| format!("--data-dir {}: the access key cannot be kept", arguments.data_dir.display()))?;
    let listen = arguments.options.listen().unwrap_or(LISTEN);
    let config = Development {
        listen,
        admin_listen: arguments.options.admin_listen().unwrap_or_else(|| admin_beside(listen)),
        mode,
        hub: hub.clone(),
        plugin: match &arguments.plugin {
            Some(file) => PluginSource::File(file.clone()),
            None => PluginSource::Embedded(demo::COMPONENT),
        },
        pages,
        access_key,
        data_dir: arguments.data_dir.clone(),
    };
    let announce = |started: &Started<'_>| announce(started, &arguments, &hub);
    run_gateway::run(config.config()?, &arguments.options, BadPlugins::Fail, None, announce)
}

/// The admin listener never leaves this machine: one port above, where that is known to be free for it.
fn admin_beside(listen: SocketAddr) -> SocketAddr {
    match listen == LISTEN {
        true => ADMIN_LISTEN,
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    }
}

fn announce(started: &Started<'_>, arguments: &Arguments, hub: &HubName) {
    let url = started.url();
    println!("connection string   {}", started.connection_string);
    println!("hub `{hub}`          {url}/hubs/{hub} (no token needed on this machine)");
    match (&arguments.plugin, &arguments.www) {
        (Some(plugin), _) => println!("  answered by       {} (replaced when the file changes)", plugin.display()),
        (None, _) => println!("  answered by       the embedded chat component"),
    }
    if arguments.www.is_some() || hub.as_str() == demo::HUB {
        println!("page                {url}/");
    }
    println!("admin               {} (token {})", started.admin_url(), started.admin_token);
}
