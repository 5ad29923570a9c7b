//! Tables of rows, and incomplete rows.

use super::*;

const ROW: &str = "[[row]]\narea = \"A\"\ntheirs = \"`x`\"\nverdict = \"same\"\nours = \"y\"\ntests = [\"it::a::b\"]\n";

#[test]
fn rows_are_grouped_by_area() {
    let source = format!("{ROW}{}", ROW.replace("\"A\"", "\"B\""));
    let text = table(&source).unwrap();
    assert!(
        text.contains("\n## A\n") && text.contains("\n## B\n"),
        "{text}"
    );
    assert!(text.contains("| `x` | same | y | `it::a::b` |"), "{text}");
}

#[test]
fn a_row_without_a_part_is_refused() {
    for part in ["area", "theirs", "verdict", "ours"] {
        let source = ROW.replace(&format!("{part} ="), "other =");
        assert!(
            table(&source).unwrap_err().to_string().contains(part),
            "{part}"
        );
    }
}

#[test]
fn each_deviation_is_answered_once() {
    let row = |number: usize| {
        format!(
            "[[difference]]\nid = \"D{number}\"\ntheirs = \"t\"\nours = \"o\"\ntests = [\"it::a::b\"]\n"
        )
    };
    let all: String = (1..=DEVIATIONS_COUNT).map(row).collect();
    assert!(
        deviations(&all)
            .unwrap()
            .contains("| D25 | t | o | `it::a::b` |")
    );
    let all: String = (2..=DEVIATIONS_COUNT).map(row).collect();
    assert!(deviations(&all).is_err());
}
