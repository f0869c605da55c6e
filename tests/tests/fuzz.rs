//! The corpora of `fuzz/`, replayed, with mutations of them that are the same in every run.

use std::fs;

use hubgate_tests::command::repository;
use hubgate_tests::fuzz::TARGETS;

const MUTATIONS: u64 = 20_000;
const SEED: u64 = 1;

#[test]
fn no_input_breaks_what_reads_it() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => default,
    };
    let (seed, mutations) = (number("FUZZ_SEED", SEED), number("FUZZ_MUTATIONS", MUTATIONS));
    for (name, target) in TARGETS {
        let folder = repository().join("fuzz/corpus").join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
        paths.sort();
        let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("it can be read")).collect();
        assert!(corpus.len() >= 8, "{name} has {} inputs", corpus.len());
        for (input, path) in corpus.iter().zip(&paths) {
            run(name, target, input, &path.display().to_string());
        }
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for mutation in 0..mutations {
            let input = mutated(&corpus, &mut random);
            run(name, target, &input, &format!("mutation {mutation} of seed {seed}"));
        }
    }
}

fn run(name: &str, target: fn(&[u8]), input: &[u8], which: &str) {
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        eprintln!("{name} breaks on {which}: {:?}", String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
}

/// A few small changes of one input, sometimes with a piece of another.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\x1e\"\\{}[]:,0e-\xff\x7f\x80u";
    let mut input = random.one_of(corpus).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 if at < input.len() => input[at] = *random.one_of(TELLING),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, *random.one_of(TELLING)),
            3 => input.truncate(at),
            4 => {
                let end = (at + random.below(16)).min(input.len());
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let other = random.one_of(corpus);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input
}

/// Marsaglia's xorshift: what is random here must only be the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
