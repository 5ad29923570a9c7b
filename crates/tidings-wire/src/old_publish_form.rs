//! The body of a publish request before Mercure 1.0, as fields.
//!
//! It has the fields of 1.0, a laxer `retry`, and before 0.8 the targets.

use crate::form::{ListName, pairs};
use crate::publish_form::{FormError, PublishForm, take_retry};

/// A publication before 1.0, decoded but not validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldPublishForm {
    /// The fields that 1.0 has too.
    pub fields: PublishForm,
    /// Values of `target`, in order.
    pub targets: Vec<String>,
}

/// Why a body is not such a publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OldFormError {
    /// It breaks a rule of 1.0.
    #[error(transparent)]
    Form(#[from] FormError),
    /// There are more `target` fields than the hub accepts.
    #[error("more than {max} targets in one update")]
    TooManyTargets {
        /// How many targets the hub accepts.
        max: usize,
    },
}

impl OldPublishForm {
    /// Decodes `body`, which is `application/x-www-form-urlencoded`, like [`PublishForm::decode`],
    /// except that a `retry` of zero means no value.
    ///
    /// Keeps at most `targets_max` targets.
    ///
    /// # Errors
    ///
    /// [`OldFormError`] for the first invalid field; a missing topic is reported last.
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
