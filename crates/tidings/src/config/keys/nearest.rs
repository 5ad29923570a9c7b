//! Finds the name that a misspelt one probably means.

/// Returns the one of `names` that takes the fewest single-character changes to become `wanted`.
pub fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> String {
    names
        .min_by_key(|name| distance(wanted, name))
        .unwrap_or_default()
}

/// Counts the insertions, deletions and replacements between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a_character) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b_character, above) in b.chars().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a_character != b_character);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
