//! The table.

use crate::bystander::Fared;
use crate::catalogue::Attack;
use crate::meter::Holding;
use crate::trial::Outcome;

/// The head of the table, two lines.
pub(crate) const HEAD: &str = "\
| attack | memory at rest, MiB | peak | after | descriptors at rest | peak | after | good calls | longest, ms (quiet) | \
newcomers served | remarks |
|---|---|---|---|---|---|---|---|---|---|---|";

/// Growth of the data folder that is worth a remark, in bytes.
const NOTABLE_DISK: u64 = 8 << 20;

/// One line of the table.
pub(crate) fn row(attack: &Attack, outcome: &Outcome) -> String {
    let Outcome { rest, peak, after, quiet, under_attack, lasted, remarks } = outcome;
    let memory = [rest, peak, after].map(|holding| (holding.memory >> 20).to_string()).join(" | ");
    let descriptors = [rest, peak, after].map(|holding| holding.descriptors.to_string()).join(" | ");
    let calls = share(under_attack.calls, under_attack.calls_failed);
    let newcomers = share(under_attack.newcomers, under_attack.newcomers_failed);
    let longest = longest(quiet, under_attack);
    let disk = disk(rest, peak, after);
    let remarks: Vec<String> =
        remarks.iter().cloned().chain(disk).chain([format!("{:.1} s", lasted.as_secs_f64())]).collect();
    let (name, remarks) = (attack.name, remarks.join("; "));
    format!("| {name} | {memory} | {descriptors} | {calls} | {longest} | {newcomers} | {remarks} |")
}

fn share(all: u64, failed: u64) -> String {
    format!("{} of {all}", all - failed)
}

fn longest(quiet: &Fared, under_attack: &Fared) -> String {
    format!("{} ({})", under_attack.longest_call.as_millis(), quiet.longest_call.as_millis())
}

fn disk(rest: &Holding, peak: &Holding, after: &Holding) -> Option<String> {
    let [rest, peak, after] = [rest, peak, after].map(|holding| holding.disk);
    let mib = |bytes: u64| bytes >> 20;
    (peak > rest + NOTABLE_DISK).then(|| format!("disk {} MiB at the peak, {} after", mib(peak), mib(after)))
}
