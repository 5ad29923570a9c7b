//! The name of a cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most bytes of a cluster's name.
pub const NAME_BYTES_MAX: usize = 64;

/// The name of a cluster: hubs with the same name on the same servers are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

/// A name must fit into a hash tag, and into a rule for a user's keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} is not 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`")]
pub struct NameError {
    name: String,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
        let error = || NameError {
            name: name.chars().take(NAME_BYTES_MAX).collect(),
        };
        fits.then(|| Self(name.into())).ok_or_else(error)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_a_hash_tag() {
        for good in ["a", "hub-1.eu_west"] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "a b",
            "a}",
            "{a",
            "a*",
            "a:b",
            &"a".repeat(NAME_BYTES_MAX + 1),
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong:?}");
        }
    }
}
