//! The corpora of `fuzz/`, replayed, with mutations of them that are the same in every run.

use std::fs;

use hubgate_tests::command::repository;
use hubgate_tests::fuzz::{Random, TARGETS, mutated};

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
        let mut random = Random::new(seed);
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
