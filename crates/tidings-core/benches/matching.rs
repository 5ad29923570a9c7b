//! What matching, interning and releasing cost with many matchers of one shape. Prints a table; run
//! with `cargo bench -p tidings-core`.
//!
//! *new* is a topic that was not matched before, *cold* the first match of all, *worst* the longest
//! single call of `intern`.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark reads the clock, prints, and may fail loudly"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidings_core::{HubUrl, Matcher, MatcherId, MatcherIndex, MatcherType, Subject};

fn main() {
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "shape", "parse", "intern", "worst", "cold", "new", "same", "release"
    );
    for (kind, shape, count) in [
        (MatcherType::Exact, "https://e.com/books/#", 100_000),
        (MatcherType::UrlPattern, "https://e.com/x#/:id", 20_000),
        (MatcherType::UrlPattern, "https://e.com/:kind/x#", 20_000),
        (
            MatcherType::UrlPattern,
            "https://e.com/:kind/x#/:id",
            20_000,
        ),
        (MatcherType::UrlPattern, "https://e.com/x#-:id", 2_000),
        (MatcherType::UrlPattern, "https://e.com/:a-x#-:b", 2_000),
        (MatcherType::UrlPattern, "https://e.com/a?x=#", 2_000),
        (MatcherType::UrlPattern, "https://*.x#.com/", 2_000),
        (
            MatcherType::UrlPattern,
            "https://e.com/:kind(\\w+)-x#",
            2_000,
        ),
    ] {
        measure(kind, shape, count);
    }
}

fn measure(kind: MatcherType, shape: &str, count: usize) {
    let hub = HubUrl::parse("https://e.com/.well-known/mercure").expect("a hub's URL");
    let start = Instant::now();
    let matchers: Vec<Matcher> = (0..count)
        .map(|number| Matcher::parse(kind, &text(shape, number), &hub).expect("a matcher"))
        .collect();
    let parse = start.elapsed() / u32::try_from(count).expect("a small count");

    let mut index = MatcherIndex::new();
    let mut worst = Duration::ZERO;
    let mut total = Duration::ZERO;
    let mut ids = Vec::new();
    for matcher in &matchers {
        let start = Instant::now();
        ids.push(index.intern(matcher));
        total += start.elapsed();
        worst = worst.max(start.elapsed());
    }
    let intern = total / u32::try_from(count).expect("a small count");

    let subjects: Vec<Subject> = (0..1000)
        .map(|number| subject(shape, number * 7919 % count, &hub))
        .collect();
    let mut found: Vec<MatcherId> = Vec::new();
    let mut ask = |subjects: &[Subject]| {
        let start = Instant::now();
        for subject in subjects {
            index.matching(std::slice::from_ref(subject), &mut found);
            assert_eq!(black_box(&found).len(), 1, "{}", subject.text());
        }
        start.elapsed() / u32::try_from(subjects.len()).expect("a small count")
    };
    let cold = ask(&subjects[..1]);
    let new = ask(&subjects[1..]);
    let same = ask(&vec![subjects[0].clone(); 1000]);

    let start = Instant::now();
    for id in ids {
        index.release(id);
    }
    let release = start.elapsed() / u32::try_from(count).expect("a small count");
    println!(
        "{:<44} {parse:>9.1?} {intern:>9.1?} {worst:>9.1?} {cold:>9.1?} {new:>9.1?} {same:>9.1?} \
         {release:>9.1?}",
        format!("{count} × {shape}")
    );
}

fn text(shape: &str, number: usize) -> String {
    shape.replace('#', &format!("{number:05}"))
}

fn subject(shape: &str, number: usize, hub: &HubUrl) -> Subject {
    let topic = text(shape, number)
        .replace("(\\w+)", "")
        .replace(":kind", &format!("kind{number}"))
        .replace(":id", &format!("id{number}"))
        .replace(":a", "some")
        .replace(":b", &format!("thing{number}"))
        .replace('*', "www");
    Subject::from_text(&topic, hub)
}
