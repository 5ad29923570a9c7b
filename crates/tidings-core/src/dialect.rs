//! The version of Mercure that a peer speaks. The server detects it from the request; the
//! differences between dialects are in the code they affect.

use std::fmt;

/// A generation of the Mercure protocol. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// The hub of 2019 (0.5): `target`s, `/hub`.
    V2019,
    /// The hubs 0.10 to 0.24: `topic` selectors, the claim `mercure`.
    V0,
    /// The standard: `match` parameters, `authorization_details`.
    V1,
}

impl Dialect {
    /// Returns the name that logs and documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2019 => "2019",
            Self::V0 => "0.x",
            Self::V1 => "1.0",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
