//! Streams to clients and from them.

use hubgate_plugin::contract::timers;
use hubgate_plugin::streams::{Item, Opening, PushError, Stream};
use hubgate_plugin::{Arguments, Connection, Error, Reply, reject, reply, state};
use serde_json::{Value, json};

/// Items that are pushed at once.
const CHUNK: i64 = 50;
/// How the timers of streams begin.
const TIMER: &str = "numbers/";

pub fn invoke(client: &Connection, method: &str, _: &Arguments) -> Option<Reply> {
    match method {
        "cancelled" => Some(cancelled_count(client)),
        _ => None,
    }
}

pub fn begin(method: &str, arguments: &Arguments, opening: Opening) -> Result<(), Error> {
    let Opening { stream, uploads, .. } = opening;
    match method {
        "numbers" => {
            // Some clients send all numbers as floating-point ones.
            let (last, delay_ms): (f64, f64) = arguments.parse()?;
            go_on(&Numbers { stream, next: 0, last: last as i64, delay_ms: delay_ms as u64, error: None })
        }
        "failAfter" => {
            let (last,): (f64,) = arguments.parse()?;
            go_on(&Numbers { stream, next: 0, last: last as i64, delay_ms: 0, error: Some("enough".to_owned()) })
        }
        "sum" | "zip" => {
            for (index, upload) in uploads.iter().enumerate() {
                state::set(&upload_key(upload), &json!({ "call": stream, "index": index }), None)?;
            }
            let call = json!({ "method": method, "totals": vec![0; uploads.len()], "open": uploads.len() });
            state::set(&call_key(&stream), &call, None)
        }
        unknown => reject(format!("The probe has no method '{unknown}' with streams.")),
    }
}

/// A stream of numbers, and how far it is.
struct Numbers {
    stream: Stream,
    next: i64,
    last: i64,
    delay_ms: u64,
    /// By which it ends.
    error: Option<String>,
}

/// Pushes what there is room for, or the next one of a stream that takes its time.
fn go_on(numbers: &Numbers) -> Result<(), Error> {
    let Numbers { stream, next, last, delay_ms, error } = numbers;
    let mut next = *next;
    while next < *last {
        let chunk = if *delay_ms > 0 { 1 } else { CHUNK.min(last - next) };
        match stream.push_all(next..next + chunk) {
            Ok(_) => next += chunk,
            Err(PushError::Full(_)) => return keep(numbers, next),
            // The client has left, or wants no more.
            Err(PushError::NoSuchStream) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if *delay_ms > 0 && next < *last {
            let (payload, name) = (kept(numbers, next).to_string(), format!("{TIMER}{}", stream.id()));
            return timers::set(&name, timers::Schedule::After(*delay_ms), payload.as_bytes(), false)
                .map_err(|error| Error::Failed(format!("the timer cannot be set: {error:?}")));
        }
    }
    state::delete(&numbers_key(stream))?;
    let ended = match error {
        Some(error) => stream.fail(&Error::Rejected(error.clone())),
        None => stream.finish(),
    };
    gone_is_fine(ended)
}

fn kept(numbers: &Numbers, next: i64) -> Value {
    let Numbers { stream, last, delay_ms, error, .. } = numbers;
    json!({ "stream": stream, "next": next, "last": last, "delay": delay_ms, "error": error })
}

/// Until there is room again.
fn keep(numbers: &Numbers, next: i64) -> Result<(), Error> {
    state::set(&numbers_key(&numbers.stream), &kept(numbers, next), None)
}

fn read(kept: &Value) -> Option<Numbers> {
    Some(Numbers {
        stream: Stream::from_id(kept["stream"].as_str()?),
        next: kept["next"].as_i64()?,
        last: kept["last"].as_i64()?,
        delay_ms: kept["delay"].as_u64()?,
        error: kept["error"].as_str().map(str::to_owned),
    })
}

/// There is room again.
pub fn writable(stream: &Stream) {
    let kept: Option<Value> = state::get(&numbers_key(stream)).unwrap_or_default();
    if let Some(numbers) = kept.as_ref().and_then(read) {
        // What fails is in the log.
        let _ = go_on(&numbers);
    }
}

pub fn cancelled(client: &Connection, stream: &Stream) {
    let _ = timers::cancel(&format!("{TIMER}{}", stream.id()));
    let _ = state::delete(&numbers_key(stream));
    let _ = state::increment(&cancelled_key(client), 1, None);
}

/// How many of a client's streams were cancelled.
fn cancelled_count(client: &Connection) -> Reply {
    reply(&state::increment(&cancelled_key(client), 0, None)?)
}

/// A timer, if it is one of a stream.
pub fn fired(timer: &str, payload: &[u8]) -> Option<Result<(), Error>> {
    timer.strip_prefix(TIMER)?;
    let kept: Value = serde_json::from_slice(payload).ok()?;
    Some(go_on(&read(&kept)?))
}

pub fn item(upload: &str, item: &Item) -> Result<(), Error> {
    let number: f64 = item.parse()?;
    let Some((stream, index, mut call)) = call_of(upload)? else {
        return Ok(());
    };
    let is_sum = call["method"] == "sum";
    let total = call["totals"][index].as_i64().unwrap_or_default();
    call["totals"][index] = (total + if is_sum { number as i64 } else { 1 }).into();
    state::set(&call_key(&stream), &call, None)
}

pub fn ended(upload: &str, error: Option<String>) -> Result<(), Error> {
    let Some((stream, _, mut call)) = call_of(upload)? else {
        return Ok(());
    };
    state::delete(&upload_key(upload))?;
    let open = call["open"].as_u64().unwrap_or_default() - 1;
    call["open"] = open.into();
    let ended = match error {
        Some(error) => stream.fail(&Error::Rejected(error)),
        None if open > 0 => return state::set(&call_key(&stream), &call, None),
        None if call["method"] == "sum" => stream.answer(&call["totals"][0]),
        None => stream.answer(&call["totals"]),
    };
    state::delete(&call_key(&stream))?;
    gone_is_fine(ended)
}

/// The call that an upload belongs to, and its place among the call's uploads.
fn call_of(upload: &str) -> Result<Option<(Stream, usize, Value)>, Error> {
    let Some(kept): Option<Value> = state::get(&upload_key(upload))? else {
        return Ok(None);
    };
    let stream = Stream::from_id(kept["call"].as_str().unwrap_or_default());
    let index = kept["index"].as_u64().unwrap_or_default() as usize;
    let call: Option<Value> = state::get(&call_key(&stream))?;
    Ok(call.map(|call| (stream, index, call)))
}

/// A client that is gone needs no end.
fn gone_is_fine(ended: Result<(), PushError>) -> Result<(), Error> {
    match ended {
        Ok(()) | Err(PushError::NoSuchStream) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn numbers_key(stream: &Stream) -> String {
    format!("numbers/{}", stream.id())
}

fn cancelled_key(client: &Connection) -> String {
    format!("cancelled/{}", client.id)
}

fn call_key(stream: &Stream) -> String {
    format!("call/{}", stream.id())
}

fn upload_key(upload: &str) -> String {
    format!("upload/{upload}")
}
