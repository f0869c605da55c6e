//! One module for each command.

mod admin_client;
mod azure;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod connections;
mod deep_check;
pub(crate) mod dev;
pub(crate) mod doctor;
mod emulator;
mod findings;
mod key_regeneration;
pub(crate) mod keys;
pub(crate) mod manual;
pub(crate) mod plugin;
mod plugin_build;
mod plugin_check;
mod plugin_new;
mod plugin_test;
mod reload;
mod run_gateway;
mod sdk;
pub(crate) mod serve;
mod service_manager;
pub(crate) mod state;
pub(crate) mod token;
mod watch;
