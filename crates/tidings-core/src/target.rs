//! The targets of Mercure before 0.8: an update names the audiences that may receive it, and a
//! token names the audiences of its bearer.

use std::fmt;
use std::sync::Arc;

use crate::limits::{TARGET_BYTES_MAX, TARGETS_PER_UPDATE_MAX};
use crate::text::forbidden_character;

/// The name of an audience. It may be empty: that is an audience too, and an update for it is not
/// for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(Arc<str>);

impl Target {
    /// Reads a target from a publication or a token.
    ///
    /// # Errors
    ///
    /// [`TargetError`] names the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > TARGET_BYTES_MAX {
            return Err(TargetError::TooLong {
                bytes: text.len(),
                max: TARGET_BYTES_MAX,
            });
        }
        if let Some(character) = forbidden_character(text) {
            return Err(TargetError::ForbiddenCharacter { character });
        }
        Ok(Self(text.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The targets of one update: at least one, at most [`TARGETS_PER_UPDATE_MAX`]. Cloning shares
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Arc<[Target]>);

impl Targets {
    /// Takes the targets in the order of publication. `None` if there are none, and the update is
    /// for everybody.
    ///
    /// # Errors
    ///
    /// [`TargetError::TooMany`] if there are more than the limit.
    pub fn new(targets: Vec<Target>) -> Result<Option<Self>, TargetError> {
        if targets.len() > TARGETS_PER_UPDATE_MAX {
            return Err(TargetError::TooMany {
                count: targets.len(),
                max: TARGETS_PER_UPDATE_MAX,
            });
        }
        Ok((!targets.is_empty()).then(|| Self(targets.into())))
    }

    /// Returns the targets.
    pub fn iter(&self) -> std::slice::Iter<'_, Target> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Targets {
    type Item = &'a Target;
    type IntoIter = std::slice::Iter<'a, Target>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The targets that a token names for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetGrant {
    /// These targets. If the list is empty, only updates for everybody.
    Of(Vec<Target>),
    /// Every target, because the token names `*`.
    All,
}

impl TargetGrant {
    /// Returns whether the token names `target`.
    #[must_use]
    pub fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Of(own) => own.contains(target),
            Self::All => true,
        }
    }
}

/// Why a target, or a list of targets, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The target contains an invisible character.
    #[error("a target contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first such character.
        character: char,
    },
    /// The target is longer than the limit.
    #[error("a target has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There are more targets than the limit.
    #[error("an update has {count} targets, more than {max}")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError, TargetGrant, Targets};

    #[test]
    fn a_target_is_visible_text_and_may_be_empty() {
        assert_eq!(Target::parse("").unwrap().as_str(), "");
        assert_eq!(
            Target::parse("https://e.com/users/é").unwrap().as_str(),
            "https://e.com/users/é"
        );
        assert!(matches!(
            Target::parse("a\nb"),
            Err(TargetError::ForbiddenCharacter { character: '\n' })
        ));
        assert!(matches!(
            Target::parse(&"x".repeat(5000)),
            Err(TargetError::TooLong { bytes: 5000, .. })
        ));
    }

    #[test]
    fn no_target_is_everybody_and_too_many_are_refused() {
        assert_eq!(Targets::new(Vec::new()), Ok(None));
        let many = vec![Target::parse("a").unwrap(); 1001];
        assert!(matches!(
            Targets::new(many),
            Err(TargetError::TooMany { count: 1001, .. })
        ));
    }

    #[test]
    fn a_grant_covers_what_it_names() {
        let [foo, bar, star] = ["foo", "bar", "*"].map(|text| Target::parse(text).unwrap());
        let some = TargetGrant::Of(vec![foo.clone()]);
        assert!(some.covers(&foo) && !some.covers(&bar) && !some.covers(&star));
        assert!(!TargetGrant::Of(Vec::new()).covers(&foo));
        assert!(TargetGrant::All.covers(&bar));
    }
}
