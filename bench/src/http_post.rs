//! The one HTTP request that the load makes: a POST without a body, answered with JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Posts nothing on a fresh connection and reads the answer.
pub(crate) fn post(stream: TcpStream, authority: &str, path: &str, token: Option<&str>) -> Result<Value> {
    stream.set_read_timeout(Some(crate::client::PATIENCE))?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\n{authorization}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    (&stream).write_all(request.as_bytes())?;
    answer(BufReader::new(stream.take(LONGEST_ANSWER)))
}

fn answer(mut input: impl BufRead) -> Result<Value> {
    let status = line(&mut input)?;
    if status.split(' ').nth(1) != Some("200") {
        bail!("it is answered with {status:?}");
    }
    let (mut length, mut is_chunked) = (None, false);
    loop {
        let header = line(&mut input)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<u64>().context("its Content-Length is no number")?),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if is_chunked => chunks(&mut input, &mut body)?,
        Some(length) => drop(input.take(length).read_to_end(&mut body)?),
        None => drop(input.read_to_end(&mut body)?),
    }
    serde_json::from_slice(&body).context("it is not answered with JSON")
}

fn line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if input.read_line(&mut line).context("it is not answered")? == 0 {
        bail!("its answer ends too early");
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn chunks(input: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = line(input)?;
        let size =
            u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16).context("its chunks are broken")?;
        if size == 0 {
            return Ok(());
        }
        input.take(size).read_to_end(body)?;
        line(input)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_however_its_end_is_told() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}rest",
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n{\"a\":1}",
        ] {
            assert_eq!(answer(text.as_bytes()).unwrap()["a"], 1, "{text}");
        }
    }

    #[test]
    fn what_is_no_good_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
