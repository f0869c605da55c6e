//! Files for browsers: the embedded page of `dev`, or a folder; and what such a page may know of the gateway.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use hubgate_plugin_host::PluginStatus;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Service;
use super::answer::{Answer, with_type};
use super::query::Query;
use crate::refusal::Refusal;
use crate::settings::Pages;

const NOT_FOUND: Refusal = Refusal::NotFound(Cow::Borrowed(
    "Nothing is here. Clients connect at /client/?hub=NAME with the token that their application's negotiation gives them; where there \
     is no application, they negotiate at /hubs/NAME/negotiate. Hub servers connect at /server/?hub=NAME. The REST API is below \
     /api/hubs/NAME.",
));
const TWO_SLASHES: Refusal = Refusal::NotFound(Cow::Borrowed(
    "Nothing is here: the path begins with two slashes. Join the endpoint and the path with a single one: /client/?hub=NAME is where \
     clients connect, /server/?hub=NAME is where hub servers do, and the REST API is below /api/hubs/NAME.",
));

const NO_HUB: Refusal = Refusal::NotFound(Cow::Borrowed(
    "The configuration names no hub of this name, and no client is connected to one: look at its spelling.",
));

/// Where a page asks how its hub and the plugins are. It goes before a file of the same name.
const STATUS_PATH: &str = "/hubgate/status";

/// The file of the request's path; that of a folder is its `index.html`.
pub(crate) async fn page(service: &Service, request: &Parts) -> Result<Answer, Refusal> {
    let pages = service.shared().settings().pages.clone();
    let not_found = || if request.uri.path().starts_with("//") { TWO_SLASHES } else { NOT_FOUND };
    let path = percent_decode_str(request.uri.path()).decode_utf8().map_err(|_| not_found())?;
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let not_allowed = Refusal::method_not_allowed("GET, HEAD, OPTIONS");
    match &pages {
        Pages::None => Err(not_found()),
        _ if path == STATUS_PATH && is_read => status(service, request),
        _ if path == STATUS_PATH => Err(not_allowed),
        Pages::Embedded(files) => {
            let path = if path == "/" { "/index.html" } else { &path };
            let file = files.iter().find(|(name, ..)| *name == path);
            let (_, content_type, content) = file.ok_or_else(not_found)?;
            is_read.then(|| with_type(StatusCode::OK, content_type, *content)).ok_or(not_allowed)
        }
        Pages::Folder(folder) => {
            let file = file_in(folder, &path).await.ok_or_else(not_found)?;
            if !is_read {
                return Err(not_allowed);
            }
            let content = tokio::fs::read(&file).await.map_err(|_| not_found())?;
            Ok(with_type(StatusCode::OK, content_type(&file), content))
        }
    }
}

/// How many clients the hub of the query has, and which version of each plugin serves since when.
fn status(service: &Service, request: &Parts) -> Result<Answer, Refusal> {
    let hub = Query::of(&request.uri).hub()?;
    let clients = service.shared().directory.clients_of(&hub);
    if clients == 0 && !service.shared().settings().core.names(&hub) {
        return Err(NO_HUB);
    }
    let plugin = |status: PluginStatus| {
        let loaded = status.loaded_at.and_then(|at| at.elapsed().ok());
        json!({
            "name": status.name.as_str(),
            "generation": status.generation,
            "digest": status.digest,
            "secondsSinceLoaded": loaded.map(|time| time.as_secs()),
            "calls": status.calls,
            "halfWithinMicroseconds": status.half_within.map(|time| time.as_micros() as u64),
            "lastError": status.last_error.map(|error| error.reason),
        })
    };
    let plugins: Vec<Value> = service.shard().plugin_statuses().into_iter().map(plugin).collect();
    let body = json!({ "clients": clients, "plugins": plugins });
    let mut answer = with_type(StatusCode::OK, "application/json", body.to_string());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The file of `path` below `folder`, wherever its links lead, unless they lead out.
async fn file_in(folder: &Path, path: &str) -> Option<PathBuf> {
    let folder = tokio::fs::canonicalize(folder).await.ok()?;
    let mut file = tokio::fs::canonicalize(folder.join(path.trim_start_matches('/'))).await.ok()?;
    if tokio::fs::metadata(&file).await.ok()?.is_dir() {
        file = tokio::fs::canonicalize(file.join("index.html")).await.ok()?;
    }
    file.starts_with(&folder).then_some(file)
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        Some("wasm") => "application/wasm",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
