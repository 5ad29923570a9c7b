//! Who is sampled, and what happens to spans that nobody takes.

use super::*;

const TRACES: u64 = 1000;

#[test]
fn the_publisher_decides_where_it_may() {
    let sampled = |sampler: Sampler, parent: Option<bool>| {
        let (tracer, _spans) = Tracer::new(sampler, Counter::default());
        let parent = parent.and_then(|sampled| TraceContext::new([7; 16], [7; 8], sampled));
        tracer.publishing(parent, Instant::now()).is_some()
    };
    let sampler = |by_parent, ratio| Sampler { by_parent, ratio };
    for (sampler, none, unsampled, by_publisher) in [
        (sampler(true, 0.0), false, false, true),
        (sampler(true, 1.0), true, false, true),
        (sampler(false, 0.0), false, false, false),
        (sampler(false, 1.0), true, true, true),
    ] {
        let found = [None, Some(false), Some(true)].map(|parent| sampled(sampler, parent));
        assert_eq!(found, [none, unsampled, by_publisher], "{sampler:?}");
    }
}

#[test]
fn a_part_of_all_traces_is_sampled_and_everybody_samples_the_same() {
    let quarter = Sampler {
        by_parent: false,
        ratio: 0.25,
    };
    let mut sampled = 0;
    for _ in 0..TRACES {
        let trace_id = random();
        let decided = quarter.samples(None, &trace_id);
        assert_eq!(quarter.samples(None, &trace_id), decided);
        sampled += u64::from(decided);
    }
    assert!((100..400).contains(&sampled), "{sampled} of {TRACES}");
}

#[test]
fn a_publish_is_below_its_publisher_and_its_commit_is_below_it() {
    let always = Sampler {
        by_parent: false,
        ratio: 1.0,
    };
    let (tracer, mut spans) = Tracer::new(always, Counter::default());
    let parent = TraceContext::new([7; 16], [9; 8], true);
    let publishing = tracer.publishing(parent, Instant::now()).unwrap();
    tracer.published(publishing, Err("the disk is full".into()));
    let span = spans.try_recv().unwrap();
    assert_eq!((span.name, span.parent), ("publish", Some([9; 8])));
    assert_eq!(span.context.trace_id(), &[7; 16]);
    assert_eq!(span.error.as_deref(), Some("the disk is full"));
    assert!(span.begun_ns <= span.ended_ns);
    // Nothing was committed.
    assert!(spans.try_recv().is_err());
}

#[test]
fn spans_that_find_the_queue_full_are_counted() {
    let always = Sampler {
        by_parent: false,
        ratio: 1.0,
    };
    let dropped = Counter::default();
    let (tracer, spans) = Tracer::new(always, dropped.clone());
    for _ in 0..SPANS_WAITING_MAX + 3 {
        let publishing = tracer.publishing(None, Instant::now()).unwrap();
        tracer.published(publishing, Err("refused".into()));
    }
    assert_eq!(dropped.get(), 3);
    assert_eq!(spans.len(), SPANS_WAITING_MAX);
}

#[test]
fn a_long_text_is_cut_between_two_characters() {
    let long = "é".repeat(TEXT_BYTES_MAX);
    assert_eq!(cut(&long).len(), TEXT_BYTES_MAX);
    assert_eq!(cut("é"), "é");
    let odd = format!("a{long}");
    assert_eq!(cut(&odd).len(), TEXT_BYTES_MAX - 1);
}
