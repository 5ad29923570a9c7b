//! The body of a publish request before Mercure 1.0, as fields.
//!
//! It has the fields of 1.0, a laxer `retry`, and before 0.8 the targets.

use crate::form::{ListName, pairs};
use crate::publish_form::{FormError, PublishForm, take_retry};

/// What a publisher of before 1.0 sent, read but not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldPublishForm {
    /// What 1.0 has too.
    pub fields: PublishForm,
    /// Values of `target` in their order.
    pub targets: Vec<String>,
}

/// Why a body is not such a publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OldFormError {
    /// A rule that 1.0 has too.
    #[error(transparent)]
    Form(#[from] FormError),
    /// There are more fields `target` than the hub takes.
    #[error("more than {max} targets in one update")]
    TooManyTargets {
        /// How many targets the hub takes.
        max: usize,
    },
}

impl OldPublishForm {
    /// Reads `body`, which is `application/x-www-form-urlencoded`, as [`PublishForm::decode`] does;
    /// but a `retry` of zero means none.
    ///
    /// Keeps at most `targets_max` targets.
    ///
    /// # Errors
    ///
    /// The first rule that the body breaks, in the order of its fields; a missing topic last.
    pub fn decode(
        body: &[u8],
        topics_max: usize,
        targets_max: usize,
    ) -> Result<Self, OldFormError> {
        let mut targets = Vec::new();
        let mut fields = PublishForm::default();
        let mut retry = None;
        for pair in pairs(body) {
            // Without its targets the update would be public.
            ListName::refuse(pair, "target").map_err(FormError::from)?;
            match pair.name().map_err(FormError::from)?.as_ref() {
                "target" if targets.len() >= targets_max => {
                    return Err(OldFormError::TooManyTargets { max: targets_max });
                }
                "target" => targets.push(pair.value().map_err(FormError::from)?.into_owned()),
                "retry" => take_retry(pair, &mut retry)?,
                _ => fields.take(pair, topics_max)?,
            }
        }
        fields.retry = retry.flatten().filter(|ms| *ms > 0);
        fields.check_topics()?;
        Ok(Self { fields, targets })
    }
}

#[cfg(test)]
mod tests;
