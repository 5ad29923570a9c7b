//! The manual of the configuration, generated from the table of keys.
//!
//! `tidings config docs` prints it; `docs/guide/configuration.md` is this text below a line that says so,
//! which a test compares.

use super::keys::{self, Change, Fallback, Key};

/// Returns the manual as Markdown.
pub fn manual() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut table = String::new();
    for key in keys::all() {
        let header = header(key);
        if header != table {
            text.push_str(&format!("\n## `{header}`\n"));
            table = header;
        }
        text.push_str(&entry(key));
    }
    text
}

/// Returns the header of the table that a key stands in, as TOML writes it.
pub fn header(key: &Key) -> String {
    let table = key.path.rsplit_once('.').map_or("", |(table, _)| table);
    match table.strip_suffix(".N") {
        Some(array) => format!("[[{array}]]"),
        None => format!("[{table}]"),
    }
}

fn entry(key: &Key) -> String {
    let name = key.path.replace(".N.", ".");
    let default = match key.fallback {
        Fallback::Fixed(fixed) => format!("`{}`", fixed.value()),
        Fallback::Computed(text, _) | Fallback::Unset(text) => text.to_owned(),
        Fallback::Required(_) => "none, it must be written".to_owned(),
    };
    let change = match key.change {
        Change::Live => "live",
        Change::Start => "start",
    };
    format!(
        "\n### `{name}`\n\n{}\n\n- Value: {}\n- Default: {default}\n- Variable: `{}`\n\
         - Change: {change}\n- Since: {}\n",
        key.text(),
        key.form.expected(),
        key.variable(),
        key.since,
    )
}

const INTRODUCTION: &str = "\
# Configuration

`tidings serve` reads its settings from a file and from the environment; the environment takes
precedence.
The file is the one named by `--config` or `TIDINGS_CONFIG`, else `tidings.toml` in the working
directory, else `/etc/tidings/tidings.toml`. Without a file, the environment must contain all
required settings.

Each key has a variable: `TIDINGS_`, then the path of the key in upper case, its parts joined by two
underscores. Separate the entries of a list with commas. `N` is the index of a table in an array,
from 0.

`Change` says when a new value takes effect. `live`: on a reload (SIGHUP or `tidings reload`), for
connections, requests and sessions from then on. `start`: at the next start, because a listener, a
thread, a file or a key depends on the value; until then a reload keeps the old one and says so.

If neither the file nor the environment sets a key, the hub reads the settings of another Mercure hub
from the environment (`MERCURE_…` with `SERVER_NAME`, or the names of 2019 such as `JWT_KEY`;
[Migrating from another Mercure hub](migrate-from-mercure.md)).

An unknown key or variable is an error, and so are settings that contradict each other.
`tidings config check` reports errors, `tidings config show` shows the values in effect and their
origins.

A small configuration, for a hub behind a proxy that terminates TLS:

```toml
[[listen]]
address = \"127.0.0.1:4400\"

[hub]
public_url = \"https://example.com/.well-known/mercure\"

[[auth.issuers]]
issuer = \"https://example.com\"
key_file = \"/etc/tidings/hub.key\"
```
";

#[cfg(test)]
mod tests;
