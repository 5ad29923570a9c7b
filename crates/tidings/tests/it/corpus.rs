//! Runs every input of the fuzzers' corpora through its decoder, without a fuzzer.

#[path = "../../../../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

#[test]
fn what_the_fuzzers_found_is_decoded_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, body) in bodies::TARGETS {
        let folder = corpus.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            body(&fs::read(&path).expect("an input"));
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for entry in fs::read_dir(corpus).expect("the corpora") {
        let name = entry.expect("an entry").file_name();
        let known = bodies::TARGETS
            .iter()
            .any(|(target, _)| name.to_str() == Some(target));
        assert!(known, "{name:?} has no target in fuzz/bodies.rs");
    }
}

#[test]
fn the_corpus_has_a_token_that_is_accepted() {
    let claims = include_str!("../../../../fuzz/corpus/token/accepted.txt");
    let token = bodies::tokens::sign(bodies::tokens::HEADER, claims);
    assert_eq!(bodies::tokens::verify(&token), Ok(()));
}
