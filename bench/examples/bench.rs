//! `hubgate bench` without the rest of `hubgate`: `cargo run -p hubgate-bench --example bench -- bench echo --url …`

use std::process::ExitCode;

use clap::Parser;
use hubgate_bench::{BenchArguments, Verdict};

#[derive(Debug, Parser)]
enum Command {
    /// Measures a SignalR endpoint beside a built-in floor.
    Bench(BenchArguments),
}

fn main() -> ExitCode {
    let Command::Bench(arguments) = Command::parse();
    match hubgate_bench::run(arguments) {
        Ok(Verdict::Complete) => ExitCode::SUCCESS,
        Ok(Verdict::Incomplete) => {
            eprintln!("messages were lost, doubled or out of order");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
