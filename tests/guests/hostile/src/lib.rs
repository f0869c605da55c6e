//! A plugin that turns on its host: each method makes the gateway work or hold memory on the guest's behalf. The numbers
//! come from the caller, so that the attack that is measured is described in one place.

use hubgate_plugin::hub::{Action, Member, Membership, Target};
use hubgate_plugin::{Arguments, Connection, Error, Handler, Reply, done, hub, reject, state};
use wasip2::cli::stdout;
use wasip2::io::streams::StreamError;

struct Hostile;

impl Handler for Hostile {
    fn invoke(client: Connection, method: &str, arguments: Arguments) -> Reply {
        match method {
            // Writes `bytes` of two-byte lines to standard output in one host call.
            "print" => {
                let (bytes,): (usize,) = arguments.parse()?;
                let failed = |error: StreamError| Error::Failed(error.to_string());
                stdout::get_stdout().write("x\n".repeat(bytes / 2).as_bytes()).map_err(failed)?;
                done()
            }
            // Sends `bytes` of JSON, all of it small values, to a group without members.
            "submit" => {
                let (bytes,): (usize,) = arguments.parse()?;
                hub::send(Target::Group("nobody".to_owned()), "said", &vec![0u8; bytes / 2], Vec::new())?;
                done()
            }
            // Sends `count` tiny messages to the caller.
            "send" => {
                let (count,): (usize,) = arguments.parse()?;
                for _ in 0..count {
                    hub::send_connection(&client.id, "m", &[0u8; 0])?;
                }
                done()
            }
            // Adds the users `first` to `first + count`, who need not exist, to a group; their ids have `length` bytes.
            "join" => {
                let (first, count, length, ttl): (usize, usize, usize, Option<u32>) = arguments.parse()?;
                for number in first..first + count {
                    let number = number.to_string();
                    let filler = "x".repeat(length.saturating_sub(number.len()));
                    join(filler + &number, ttl)?;
                }
                done()
            }
            // Writes `count` values of `bytes` each to the state, the same keys each time.
            "rewrite" => {
                let (count, bytes): (usize, usize) = arguments.parse()?;
                let value = vec![0; bytes];
                for key in 0..count {
                    let key = format!("{}/{key}", client.id);
                    state::set_bytes(&key, &value, None)?;
                }
                done()
            }
            unknown => reject(format!("there is no method '{unknown}'")),
        }
    }
}

fn join(user: String, ttl_seconds: Option<u32>) -> Result<(), Error> {
    let member = Member::User(user);
    hub::act(Action::Join(Membership { member, group: "g".to_owned(), ttl_seconds }))
}

hubgate_plugin::export!(Hostile);
