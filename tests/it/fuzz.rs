//! The functions of `fuzz/` over their seeds, whole, cut short, and with bytes changed: a fuzzer needs another compiler and time,
//! but what it runs must never rot.

use std::fs;
use std::panic::catch_unwind;

use crate::support::package;

#[path = "../../fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, clippy::indexing_slicing)]
mod targets;

/// Bytes that mean something to one grammar or another.
const TELLING: &[u8] = b"\0\r\n .:;,<>\"\\@=+9A\x80\xff";

#[test]
fn every_target_stands_its_seeds_cut_and_changed() {
    for (name, target) in targets::TARGETS {
        let directory = package().join("fuzz/seeds").join(name);
        let seeds: Vec<Vec<u8>> = fs::read_dir(&directory)
            .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "no seeds in {}", directory.display());
        for input in seeds.iter().flat_map(|seed| variants(seed)) {
            if catch_unwind(|| target(&input)).is_err() {
                panic!("{name}: {}", input.escape_ascii());
            }
        }
    }
}

#[test]
fn every_target_has_a_program() {
    let manifest = fs::read_to_string(package().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        let program = fs::read_to_string(package().join(format!("fuzz/targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("emailrelay_fuzz::{name}(data)")), "{program}");
    }
}

/// The seed, all its beginnings, and all that differ from it in one byte.
fn variants(seed: &[u8]) -> Vec<Vec<u8>> {
    let beginnings = (0..=seed.len()).map(|end| seed[..end].to_vec());
    let changed = (0..seed.len()).flat_map(|at| {
        TELLING.iter().map(move |byte| {
            let mut other = seed.to_vec();
            other[at] = *byte;
            other
        })
    });
    beginnings.chain(changed).collect()
}
