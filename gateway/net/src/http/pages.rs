//! Files for browsers: the embedded page of `dev`, or a folder.

use std::path::{Path, PathBuf};

use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{Answer, Refusal, with_type};
use crate::settings::Pages;

const NOT_FOUND: Refusal = Refusal::NotFound("Nothing is here.");

/// The file of the request's path; that of a folder is its `index.html`.
pub(crate) async fn page(pages: &Pages, request: &Parts) -> Result<Answer, Refusal> {
    let path = percent_decode_str(request.uri.path()).decode_utf8().map_err(|_| NOT_FOUND)?;
    match pages {
        Pages::None => Err(NOT_FOUND),
        _ if !matches!(request.method, Method::GET | Method::HEAD) => Err(Refusal::MethodNotAllowed),
        Pages::Embedded(files) => {
            let path = if path == "/" { "/index.html" } else { &path };
            let file = files.iter().find(|(name, ..)| *name == path);
            let (_, content_type, content) = file.ok_or(NOT_FOUND)?;
            Ok(with_type(StatusCode::OK, content_type, *content))
        }
        Pages::Folder(folder) => {
            let file = file_in(folder, &path).await.ok_or(NOT_FOUND)?;
            let content = tokio::fs::read(&file).await.map_err(|_| NOT_FOUND)?;
            Ok(with_type(StatusCode::OK, content_type(&file), content))
        }
    }
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
