//! How commands show an update to people: a line about it, then its data.

/// An update as a person reads it.
pub struct Shown<'a> {
    /// When it was stored or arrived, in UTC.
    pub time: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its topics, canonical first; none if the transport does not say them.
    pub topics: &'a [&'a str],
    /// Its type, if it has one.
    pub event_type: Option<&'a str>,
    /// Whether it is private.
    pub private: bool,
    /// Its data.
    pub data: &'a str,
}

impl Shown<'_> {
    /// Returns the lines, and an empty one. What a publisher wrote cannot control the terminal.
    pub fn text(&self) -> String {
        let mut text = plain(self.time);
        for topic in self.topics {
            text.push_str("  ");
            text.push_str(&plain(topic));
        }
        if let Some(event_type) = self.event_type {
            text.push_str("  type ");
            text.push_str(&plain(event_type));
        }
        if self.private {
            text.push_str("  private");
        }
        text.push_str("  id ");
        text.push_str(&plain(self.id));
        for line in self.data.split('\n') {
            text.push('\n');
            text.push_str(&plain(line));
        }
        text.push_str("\n\n");
        text
    }
}

/// Replaces control characters other than tabs by their escapes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => plain.push('\t'),
            character if character.is_control() => plain.extend(character.escape_default()),
            character => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_the_update_comes_before_its_data() {
        let shown = Shown {
            time: "2026-11-29T15:00:00Z",
            id: "urn:x:1",
            topics: &["a", "b"],
            event_type: Some("goal"),
            private: true,
            data: "one\n\u{1b}[2Jtwo\t2",
        };
        assert_eq!(
            shown.text(),
            "2026-11-29T15:00:00Z  a  b  type goal  private  id urn:x:1\none\n\\u{1b}[2Jtwo\t2\n\n"
        );
    }
}
