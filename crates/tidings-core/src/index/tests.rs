//! The index finds what testing every matcher finds, however matchers come and go.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{MatcherId, MatcherIndex};
use crate::hub_url::HubUrl;
use crate::matcher::{Matcher, MatcherType};
use crate::subject::Subject;

#[test]
fn equal_matchers_share_an_id_until_the_last_is_released() {
    let mut index = MatcherIndex::new();
    let id = index.intern(&exact("a"));
    assert_eq!(index.intern(&exact("a")), id);
    assert_ne!(index.intern(&pattern("/b")), id);
    assert_eq!(index.len(), 2);
    index.release(id);
    assert_eq!(matching(&mut index, &["a"]), [id]);
    index.release(id);
    assert!(matching(&mut index, &["a"]).is_empty());
    index.release(id);
    assert_eq!(index.len(), 1);
    assert_eq!(index.get(id), None);
    assert_eq!(index.intern(&exact("b")), id);
}

#[test]
fn ids_come_sorted_and_once() {
    let mut index = MatcherIndex::new();
    let last = [
        pattern("/:x"),
        pattern("/a"),
        exact("/a"),
        exact("*"),
        pattern("*"),
        exact("/b"),
    ]
    .map(|matcher| index.intern(&matcher));
    let mut expected = last[..5].to_vec();
    expected.sort_unstable();
    assert_eq!(matching(&mut index, &["/a", "/a", "/c"]), expected);
    assert!(matching(&mut index, &[]).is_empty());
}

#[test]
fn a_segment_that_stands_twice_finds_once() {
    let mut index = MatcherIndex::new();
    let id = index.intern(&pattern("/:a/x/*"));
    assert_eq!(matching(&mut index, &["/x/x/x/x"]), [id]);
}

#[test]
fn thousands_of_one_kind_are_found_one_by_one() {
    // Each kind takes another path through the buckets.
    for shape in [
        "https://e.com/:kind/x#",
        "https://e.com/x#/:id",
        "https://e.com/x#-:id",
        "https://e.com/:a-x#-:b",
        "https://e.com/a?x=#",
        "https://*.x#.com/",
        "urn\\:x\\:#-*",
        "http{s}?://e.com/x#/y",
    ] {
        let mut index = MatcherIndex::new();
        let text = |number: u32| shape.replace('#', &format!("{number:04}"));
        let ids: Vec<MatcherId> = (0..1500)
            .map(|number| index.intern(&pattern(&text(number))))
            .collect();
        for number in [0, 63, 64, 700, 1499] {
            let topic = text(number)
                .replace(":kind", "k")
                .replace(":id", "i")
                .replace(":a", "a")
                .replace(":b", "b")
                .replace("{s}?", "")
                .replace('\\', "")
                .replace('*', "w");
            assert_eq!(
                matching(&mut index, &[&topic]),
                [ids[number as usize]],
                "{topic}"
            );
            index.release(ids[number as usize]);
            assert!(matching(&mut index, &[&topic]).is_empty(), "{topic}");
        }
    }
}

#[test]
fn thousands_of_templates_are_found_one_by_one() {
    for shape in [
        "https://e.com/{kind}/x#",
        "https://e.com/{kind}/x#/{id}",
        "https://e.com/x#/{id}",
        "https://e.com/x#-{id}",
        "https://e.com/{a}-x#-{b}",
        "{+all}/x#",
        "x#{?id}",
    ] {
        let mut index = MatcherIndex::new();
        let text = |number: u32| shape.replace('#', &format!("{number:04}"));
        let ids: Vec<MatcherId> = (0..700)
            .map(|number| index.intern(&template(&text(number))))
            .collect();
        for number in [0, 63, 64, 699] {
            let topic = text(number)
                .replace("{kind}", "k")
                .replace("{id}", "i")
                .replace("{a}", "a")
                .replace("{b}", "b")
                .replace("{+all}", "a/b/c")
                .replace("{?id}", "?id=3");
            assert_eq!(
                matching(&mut index, &[&topic]),
                [ids[number as usize]],
                "{topic}"
            );
            // The text of a template is also a topic that it matches.
            assert_eq!(
                matching(&mut index, &[&text(number)]),
                [ids[number as usize]]
            );
            index.release(ids[number as usize]);
            assert!(matching(&mut index, &[&topic]).is_empty(), "{topic}");
        }
    }
}

#[test]
fn a_selector_without_expressions_is_found_by_its_text() {
    let mut index = MatcherIndex::new();
    let plain = index.intern(&template("https://e.com/a"));
    let broken = index.intern(&template("{a"));
    let exact = index.intern(&exact("https://e.com/a"));
    assert_eq!(matching(&mut index, &["https://e.com/a"]), [plain, exact]);
    assert_eq!(matching(&mut index, &["{a"]), [broken]);
    assert!(matching(&mut index, &["/a"]).is_empty());
    for id in [plain, broken, exact] {
        index.release(id);
    }
    assert_eq!(index.selectors, 0);
}

#[test]
fn memory_comes_back() {
    let mut index = MatcherIndex::new();
    let texts = |number| {
        [
            exact(&format!("a{number}")),
            pattern(&format!("/:a/x{number}")),
            pattern(&format!("/:a-x{number}-:b")),
            pattern(&format!("https://e{number}.com/*")),
            template(&format!("https://e{number}.com/{{a}}")),
            template(&format!("/{{a}}/x{number}")),
        ]
    };
    let ids: Vec<MatcherId> = (0..2000)
        .flat_map(|number| texts(number).map(|matcher| index.intern(&matcher)))
        .collect();
    for id in ids {
        index.release(id);
    }
    assert!(index.is_empty());
    assert!(index.entries.capacity() <= 1024);
    assert!(index.by_text.capacity() <= 1024);
    assert_eq!(format!("{:?}", index.buckets).matches("Member").count(), 0);
    assert!(
        format!("{:?}", index.buckets).len() < 2000,
        "{:?}",
        index.buckets
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_agrees_with_asking_every_matcher(
        steps in proptest::collection::vec((0..3_u8, a_matcher(), any::<prop::sample::Index>()), 0..400),
        topics in proptest::collection::vec(a_topic(), 1..8),
    ) {
        let mut index = MatcherIndex::new();
        let mut model: BTreeMap<MatcherId, (Matcher, u32)> = BTreeMap::new();
        for (number, (step, (kind, text), which)) in steps.into_iter().enumerate() {
            if step > 0 {
                let Ok(matcher) = Matcher::parse(kind, &text, &hub()) else { continue };
                let id = index.intern(&matcher);
                let (known, uses) = model.entry(id).or_insert_with(|| (matcher.clone(), 0));
                prop_assert_eq!(&*known, &matcher);
                *uses += 1;
            } else if !model.is_empty() {
                let id = *which.get(&model.keys().copied().collect::<Vec<_>>());
                index.release(id);
                let (_, uses) = model.get_mut(&id).unwrap();
                *uses -= 1;
                if *uses == 0 {
                    model.remove(&id);
                }
            }
            prop_assert_eq!(index.len(), model.len());
            if number % 20 == 0 {
                agree(&mut index, &model, &topics);
            }
        }
        agree(&mut index, &model, &topics);
    }
}

#[track_caller]
fn agree(index: &mut MatcherIndex, model: &BTreeMap<MatcherId, (Matcher, u32)>, topics: &[String]) {
    let all: Vec<Subject> = topics
        .iter()
        .map(|topic| Subject::from_text(topic, &hub()))
        .collect();
    let lists = all.chunks(1).chain(std::iter::once(all.as_slice()));
    for subjects in lists {
        let expected: Vec<MatcherId> = model
            .iter()
            .filter(|(_, (matcher, _))| subjects.iter().any(|subject| matcher.matches(subject)))
            .map(|(id, _)| *id)
            .collect();
        let mut found = Vec::new();
        index.matching(subjects, &mut found);
        assert_eq!(found, expected, "{subjects:?}");
    }
}

fn a_matcher() -> impl Strategy<Value = (MatcherType, String)> {
    let kind = prop_oneof![
        1 => Just(MatcherType::Exact),
        6 => Just(MatcherType::UrlPattern),
        4 => Just(MatcherType::UriTemplate),
    ];
    let origin = prop_oneof![
        6 => Just("https://e.com"), 1 => Just("http{s}?://e.com"), 1 => Just("https://*.com"),
        1 => Just("urn\\:a"), 1 => Just(""), 1 => Just("*:*"),
    ];
    let piece = prop_oneof![
        3 => Just("/".to_owned()),
        3 => "/[ab]",
        2 => Just("/:x".to_owned()),
        1 => Just("/*".to_owned()),
        1 => Just("{/b}?".to_owned()),
        1 => Just("/:y?".to_owned()),
        2 => "-[a-z]{1,2}",
        1 => Just("(a|b)".to_owned()),
        1 => Just("*".to_owned()),
        1 => "\\?[ab]",
        1 => Just("/{x}".to_owned()),
        1 => Just("{/x,y}".to_owned()),
        1 => Just("{+x}".to_owned()),
    ];
    (kind, origin, proptest::collection::vec(piece, 0..5))
        .prop_map(|(kind, origin, pieces)| (kind, format!("{origin}{}", pieces.concat())))
}

fn a_topic() -> impl Strategy<Value = String> {
    let origin = prop_oneof![
        6 => Just("https://e.com"), 1 => Just("http://e.com"), 1 => Just("urn:a"), 1 => Just(""),
        1 => Just("https://["),
    ];
    (
        origin,
        proptest::collection::vec("/[abc]?|-[a-z]{1,2}|[ab]|\\?[ab]", 0..5),
    )
        .prop_map(|(origin, pieces)| format!("{origin}{}", pieces.concat()))
}

fn matching(index: &mut MatcherIndex, topics: &[&str]) -> Vec<MatcherId> {
    let subjects: Vec<Subject> = topics
        .iter()
        .map(|topic| Subject::from_text(topic, &hub()))
        .collect();
    let mut found = vec![MatcherId(u32::MAX)];
    index.matching(&subjects, &mut found);
    found
}

fn exact(text: &str) -> Matcher {
    Matcher::parse(MatcherType::Exact, text, &hub()).unwrap()
}

#[track_caller]
fn template(text: &str) -> Matcher {
    Matcher::parse(MatcherType::UriTemplate, text, &hub()).unwrap()
}

#[track_caller]
fn pattern(text: &str) -> Matcher {
    Matcher::parse(MatcherType::UrlPattern, text, &hub()).unwrap()
}

fn hub() -> HubUrl {
    HubUrl::parse("https://e.com/.well-known/mercure").unwrap()
}
