//! The schema of a cluster as SQL: its tables and functions, and who may call them.

use std::fmt::Write as _;

use tidings_access::Name;

/// The version of the schema that this program makes, and that its hubs need. A later one has all
/// functions of an earlier one, or its hubs refuse to start.
pub const SCHEMA_VERSION: i32 = 1;

/// The parts of the schema, in the order in which they are run, in one transaction.
const PARTS: &[&str] = &[
    include_str!("../schema/begin.sql"),
    include_str!("../schema/line.sql"),
    include_str!("../schema/leases.sql"),
    include_str!("../schema/inbox.sql"),
    include_str!("../schema/end.sql"),
];

/// What a hub calls.
pub(crate) const HUB_FUNCTIONS: &[&str] = &[
    "version()",
    "line()",
    "init(text, bytea)",
    "append(text, bigint, bytea, bytea, bigint, boolean, bytea[], bytea[], bytea[], bigint[], bytea[])",
    "read(bigint, bigint, bigint, bigint)",
    "state(bigint)",
    "restore(text, bytea, bigint, bytea, bigint, bigint, boolean, bigint[], bytea[], bytea[], bytea[], \
     bigint[], bytea[])",
    "bump(text, bigint, text)",
    "renew(text, bigint, bytea)",
    "hold(text, text, bigint, bytea)",
    "holders(text[])",
    "leases()",
    "record_of(text)",
    "claim(text, text, bigint)",
    "inbox_next(bigint[], uuid[], uuid[], text, bigint, integer, bigint, boolean)",
    "inbox_done(text, bigint[], uuid[])",
    "inbox_refuse(bigint, uuid, text)",
    "inbox_state(bigint, integer)",
    "inbox_limit(bigint, text)",
];

/// What hubs of an earlier build call, beside what has not changed.
const EARLIER_HUB_FUNCTIONS: &[&str] = &[
    "inbox_next(bigint[], bigint, bigint[], integer, bigint, boolean)",
    "inbox_done(bigint[])",
    "inbox_refuse(bigint, text)",
];

/// What an application calls.
const PUBLISHER_FUNCTIONS: &[&str] = &[
    "publish(text[], text, boolean, text, text, bigint)",
    "publish(text, text, boolean, text, text, bigint)",
    "position()",
];

/// Roles of the database that are granted what they need.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// As whom hubs log in. Nothing: as the owner of the schema.
    pub hub: Option<String>,
    /// As whom applications publish.
    pub publisher: Option<String>,
}

/// Returns the schema of a cluster: SQL that may be run again at any time, also while hubs run, by
/// whoever owns the schema or may create it.
#[must_use]
pub fn schema(name: &Name, roles: &Roles) -> String {
    let plain = name.to_string();
    let identifier = identifier(&plain);
    let fill = |part: &&str| {
        part.replace("{schema}", &identifier)
            .replace("{schema_text}", &text(&identifier))
            .replace("{name}", &text(&plain))
            .replace("{version}", &SCHEMA_VERSION.to_string())
    };
    let mut sql = PARTS.iter().map(fill).collect::<Vec<_>>().join("\n");
    if let Some(hub) = &roles.hub {
        grant(&mut sql, &identifier, hub, HUB_FUNCTIONS);
        grant(&mut sql, &identifier, hub, EARLIER_HUB_FUNCTIONS);
    }
    if let Some(publisher) = &roles.publisher {
        grant(&mut sql, &identifier, publisher, PUBLISHER_FUNCTIONS);
    }
    sql.push_str("\nCOMMIT;\n");
    sql
}

fn grant(sql: &mut String, schema: &str, role: &str, functions: &[&str]) {
    let role = identifier(role);
    let mut line = |text: String| {
        // Writing to a String does not fail.
        let written = writeln!(sql, "{text}");
        debug_assert!(written.is_ok());
    };
    line(format!("\nGRANT USAGE ON SCHEMA {schema} TO {role};"));
    for function in functions {
        line(format!(
            "GRANT EXECUTE ON FUNCTION {schema}.{function} TO {role};"
        ));
    }
}

/// Quotes a name, so that it means itself.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text of a name, which has no backslash.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
