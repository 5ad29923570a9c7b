//! A template matches what it expands to: the examples of RFC 6570, section 3.2, and generated
//! templates with generated values. It does not match other texts.

use proptest::prelude::*;

use super::UriTemplate;
use crate::limits::PATTERN_GROUPS_MAX;
use crate::matcher::PatternError;

#[test]
fn level_1_and_2_examples_match() {
    for (template, expansions) in [
        ("{var}", &["value"][..]),
        ("{hello}", &["Hello%20World%21"]),
        ("O{empty}X", &["OX"]),
        ("O{undef}X", &["OX"]),
        ("{x,y}", &["1024,768"]),
        ("{x,hello,y}", &["1024,Hello%20World%21,768"]),
        ("?{x,empty}", &["?1024,"]),
        ("{var:30}", &["value"]),
        ("{list}", &["red,green,blue"]),
        ("{keys}", &["semi,%3B,dot,.,comma,%2C"]),
        ("{keys*}", &["semi=%3B,dot=.,comma=%2C"]),
        ("{+var}", &["value"]),
        ("{+base}index", &["http://example.com/home/index"]),
        ("up{+path}{var}/here", &["up/foo/barvalue/here"]),
        ("{+x,hello,y}", &["1024,Hello%20World!,768"]),
        ("{+path:6}/here", &["/foo/b/here"]),
        ("{+keys*}", &["semi=;,dot=.,comma=,"]),
        ("{#path,x}/here", &["#/foo/bar,1024/here"]),
        ("foo{#empty}", &["foo#"]),
        ("foo{#undef}", &["foo"]),
    ] {
        check_all(template, expansions);
    }
}

#[test]
fn level_3_and_4_examples_match() {
    for (template, expansions) in [
        ("X{.var}", &["X.value"][..]),
        ("X{.empty}", &["X."]),
        ("X{.list*}", &["X.red.green.blue"]),
        ("X{.keys*}", &["X.semi=%3B.dot=..comma=%2C"]),
        ("{/var,x}/here", &["/value/1024/here"]),
        ("{/var,empty}", &["/value/"]),
        ("{/var:1,var}", &["/v/value"]),
        ("{/list*,path:4}", &["/red/green/blue/%2Ffoo"]),
        ("{/keys*}", &["/semi=%3B/dot=./comma=%2C"]),
        ("{;x,y,empty}", &[";x=1024;y=768;empty"]),
        ("{;list*}", &[";list=red;list=green;list=blue"]),
        ("{;keys}", &[";keys=semi,%3B,dot,.,comma,%2C"]),
        ("{?x,y,undef}", &["?x=1024&y=768"]),
        ("{?var:3}", &["?var=val"]),
        ("{?list}", &["?list=red,green,blue"]),
        ("{?keys*}", &["?semi=%3B&dot=.&comma=%2C"]),
        ("?fixed=yes{&x}", &["?fixed=yes&x=1024"]),
        ("{&x,y,empty}", &["&x=1024&y=768&empty="]),
        ("/é/{id}", &["/é/1", "/%C3%A9/1", "/%c3%a9/"]),
    ] {
        check_all(template, expansions);
    }
}

#[test]
fn a_value_holds_only_what_its_operator_lets_through() {
    check("https://e.com/books/{id}", "https://e.com/books/1", true);
    check("https://e.com/books/{id}", "https://e.com/books/", true);
    check("https://e.com/books/{id}", "https://e.com/books/1/2", false);
    check("https://e.com/books/{id}", "https://e.com/books/1?a", false);
    check("https://e.com/books/{id}", "https://e.com/books/é", false);
    check(
        "https://e.com/books/{id}",
        "https://e.com/books/%C3%A9",
        true,
    );
    check("https://e.com/books/{id}", "https://e.com/books/%C", false);
    check("https://e.com/books/{id}", "https://e.com/book/1", false);
    check("https://e.com/books/{id}", "http://e.com/books/1", false);
    check("https://e.com/{+rest}", "https://e.com/a/b?c#d", true);
    check("https://e.com/{+rest}", "https://e.com/a b", false);
    check("https://e.com{/a,b}", "https://e.com/1/2", true);
    check("https://e.com{/a,b}", "https://e.com/1/2/3", false);
    check("https://e.com{/a*}", "https://e.com/1/2/3", true);
    check("https://e.com{?a}", "https://e.com?a=1&b=2", false);
    check("https://e.com{?a,b}", "https://e.com?a=1&b=2", true);
    check("https://e.com{;a}", "https://e.com?a=1", false);
    check("a{x}a", "a", false);
    check("{x}", "a\nb", false);
}

#[test]
fn what_breaks_the_grammar_is_no_template() {
    for text in [
        "https://e.com/books/1",
        "",
        "{}",
        "{",
        "}",
        "a}b",
        "{a",
        "{a b}",
        "{a{b}}",
        "{=a}",
        "{!a}",
        "{|a}",
        "{@a}",
        "{,a}",
        "{a,}",
        "{a:0}",
        "{a:10000}",
        "{a:}",
        "{a:x}",
        "{a*:3}",
        "{a:3*}",
        "{a..b}",
        "{.}",
        "{+}",
        "{a%2}",
        "{é}",
        "{a-b}",
        "a b{c}",
        "\"{c}",
        "<{c}",
        "%zz{c}",
        "\\{c}",
    ] {
        assert!(UriTemplate::parse(text).unwrap().is_none(), "{text:?}");
    }
    for text in [
        "{a.b_C9}", "{%41}", "{a:9999}", "{a*,b:3}", "~!$&{c}", "%41{c}",
    ] {
        assert!(UriTemplate::parse(text).unwrap().is_some(), "{text:?}");
    }
}

#[test]
fn what_costs_too_much_is_refused() {
    let many = "{a}-".repeat(PATTERN_GROUPS_MAX + 1);
    let count = PATTERN_GROUPS_MAX + 1;
    assert_eq!(
        UriTemplate::parse(&many).unwrap_err(),
        PatternError::TooManyGroups { count }
    );
    let long = format!("{{a}}{}{{b}}", "x".repeat(4000));
    assert!(matches!(
        UriTemplate::parse(&long),
        Err(PatternError::TooComplex { .. })
    ));
    // Literal text at either end costs nothing.
    let long = "x".repeat(2000);
    check(
        &format!("{long}{{a}}{long}"),
        &format!("{long}1{long}"),
        true,
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_template_is_expanded_to_matches_it(pieces in proptest::collection::vec(a_piece(), 1..6)) {
        let text: String = pieces.iter().map(|(source, _)| source.as_str()).collect();
        let expanded: String = pieces.iter().map(|(_, expanded)| expanded.as_str()).collect();
        let parsed = match UriTemplate::parse(&text) {
            // A template that exceeds the limit matches nothing.
            Err(PatternError::TooComplex { .. }) => return Ok(()),
            parsed => parsed.unwrap(),
        };
        match parsed {
            Some(template) => {
                prop_assert!(template.matches(&expanded), "{text} -> {expanded}");
                prop_assert!(expanded.starts_with(template.directory()));
                for anchor in template.anchors() {
                    prop_assert!(expanded.split('/').any(|segment| segment == &**anchor), "{text}: {anchor}");
                }
            }
            None => prop_assert!(!text.contains('{'), "{text}"),
        }
    }
}

/// A value of a variable.
#[derive(Clone, Debug)]
enum Value {
    Undefined,
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// Generates a piece of a template, and what it expands to.
fn a_piece() -> impl Strategy<Value = (String, String)> {
    let literal = prop_oneof![
        Just("/"),
        Just("/x1"),
        Just("/x1/"),
        Just("https://e.com/"),
        Just("-"),
        Just("%41"),
        Just("?a=b"),
        Just("/é"),
    ]
    .prop_map(|text: &str| (text.to_owned(), text.replace('é', "%C3%A9")));
    let operator = prop::sample::select(vec!["", "+", "#", ".", "/", ";", "?", "&"]);
    let variables = proptest::collection::vec((a_name(), a_modifier(), a_value()), 1..4);
    let expression = (operator, variables).prop_map(|(operator, variables)| {
        let specifications: Vec<String> = variables
            .iter()
            .map(|(name, modifier, _)| format!("{name}{modifier}"))
            .collect();
        (
            format!("{{{operator}{}}}", specifications.join(",")),
            expand(operator, &variables),
        )
    });
    prop_oneof![1 => literal, 2 => expression]
}

fn a_name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_]{0,2}(\\.[a-z])?|%41"
}

fn a_modifier() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => Just("*".to_owned()), 1 => Just(":2".to_owned())]
}

fn a_value() -> impl Strategy<Value = Value> {
    let text = || "[a-c ,;=&/.%é€!*'()\\[\\]:@~-]{0,6}";
    prop_oneof![
        1 => Just(Value::Undefined),
        3 => text().prop_map(Value::Text),
        1 => proptest::collection::vec(text(), 0..4).prop_map(Value::List),
        1 => proptest::collection::vec(("[a-c.,=]{1,3}", text()), 0..3).prop_map(Value::Pairs),
    ]
}

/// Expands one expression. RFC 6570, 3.2.1 and appendix A.
fn expand(operator: &str, variables: &[(String, String, Value)]) -> String {
    let (first, separator, named, if_empty) = match operator {
        "#" => ("#", ",", false, ""),
        "." => (".", ".", false, ""),
        "/" => ("/", "/", false, ""),
        ";" => (";", ";", true, ""),
        "?" => ("?", "&", true, "="),
        "&" => ("&", "&", true, "="),
        _ => ("", ",", false, ""),
    };
    let reserved = matches!(operator, "+" | "#");
    let named_value = |name: &str, value: String| match (named, value.is_empty()) {
        (false, _) => value,
        (true, true) => format!("{name}{if_empty}"),
        (true, false) => format!("{name}={value}"),
    };
    let mut parts = Vec::new();
    for (name, modifier, value) in variables {
        let encode = |text: &str| encoded(text, reserved);
        match (value, modifier.as_str()) {
            (Value::Undefined, _) => {}
            (Value::Text(text), ":2") => {
                let start: String = text.chars().take(2).collect();
                parts.push(named_value(name, encode(&start)));
            }
            (Value::Text(text), _) => parts.push(named_value(name, encode(text))),
            (Value::List(list), _) if list.is_empty() => {}
            (Value::List(list), "*") => {
                parts.extend(list.iter().map(|text| named_value(name, encode(text))));
            }
            (Value::List(list), _) => {
                let list: Vec<String> = list.iter().map(|text| encode(text)).collect();
                parts.push(named_value(name, list.join(",")));
            }
            (Value::Pairs(pairs), _) if pairs.is_empty() => {}
            (Value::Pairs(pairs), "*") => parts.extend(pairs.iter().map(|(key, text)| {
                let text = encode(text);
                let joined = if text.is_empty() && named {
                    if_empty
                } else {
                    "="
                };
                format!("{}{joined}{text}", encode(key))
            })),
            (Value::Pairs(pairs), _) => {
                let all = pairs
                    .iter()
                    .flat_map(|(key, text)| [encode(key), encode(text)]);
                parts.push(named_value(name, all.collect::<Vec<_>>().join(",")));
            }
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("{first}{}", parts.join(separator))
    }
}

/// RFC 6570, 1.5 and 3.2.1: percent-encodes all characters but the unreserved ones and, if they are
/// allowed, the reserved ones.
fn encoded(text: &str, reserved: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (reserved && b":/?#[]@!$&'()*+,;=".contains(&byte));
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[track_caller]
fn check_all(template: &str, expansions: &[&str]) {
    for expansion in expansions {
        check(template, expansion, true);
    }
}

#[track_caller]
fn check(template: &str, topic: &str, expected: bool) {
    let parsed = UriTemplate::parse(template).unwrap().expect("a template");
    assert_eq!(parsed.matches(topic), expected, "{template} and {topic}");
}
