//! The rules in a row of a table: form, default, range, and when a change takes effect.
//!
//! A row looks like `number(30).secs().at_least(1).live()`. It must end with [`Rule::live`] or
//! [`Rule::start`].

use super::{Bounds, Change, Fallback, Fixed, Form, Unit};
use crate::config::value::Words;

/// What is known of a key's values, but not when a change counts.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub(super) form: Form,
    pub(super) fallback: Fallback,
    pub(super) bounds: Bounds,
}

/// A complete row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub(super) rule: Rule,
    pub(super) change: Change,
}

/// `true` or `false`.
pub const fn flag(default: bool) -> Rule {
    Rule::new(Form::Flag, Fallback::Fixed(Fixed::Flag(default)))
}

/// A number: of things, of bytes, or of what a unit says.
pub const fn number(default: u64) -> Rule {
    Rule::new(Form::Number, Fallback::Fixed(Fixed::Number(default)))
}

/// Any text.
pub const fn text(default: &'static str) -> Rule {
    Rule::new(Form::Text, Fallback::Fixed(Fixed::Text(default)))
}

/// A file or folder.
pub const fn path(default: &'static str) -> Rule {
    Rule::new(Form::Path, Fallback::Fixed(Fixed::Text(default)))
}

/// Texts.
pub const fn list(default: &'static [&'static str]) -> Rule {
    Rule::new(Form::List, Fallback::Fixed(Fixed::List(default)))
}

/// One of the words of a type.
pub const fn word<W: Words>(default: &'static str) -> Rule {
    choice(W::WORDS, default)
}

/// One of these words.
pub const fn choice(words: &'static [&'static str], default: &'static str) -> Rule {
    Rule::new(Form::Choice(words), Fallback::Fixed(Fixed::Text(default)))
}

/// A number that depends on the machine where it is not written. `said` says which.
pub const fn computed(said: &'static str, default: fn() -> u64) -> Rule {
    Rule::new(Form::Number, Fallback::Computed(said, default))
}

/// A value that may be left out. `said` says what that means. The field's type is an `Option`.
pub const fn unset(form: Form, said: &'static str) -> Rule {
    Rule::new(form, Fallback::Unset(said))
}

/// A value that must be written. `advice` says what to write. The field's type is an `Option`: where
/// nothing is written, the error is known already.
pub const fn required(form: Form, advice: &'static str) -> Rule {
    Rule::new(form, Fallback::Required(Some(advice)))
}

/// A value that must be written, which a check of the whole table says.
pub const fn required_by_check(form: Form) -> Rule {
    Rule::new(form, Fallback::Required(None))
}

impl Rule {
    const fn new(form: Form, fallback: Fallback) -> Self {
        Self {
            form,
            fallback,
            bounds: Bounds {
                unit: Unit::One,
                min: 0,
                max: u64::MAX,
                zero_is_none: false,
            },
        }
    }

    /// Sets the smallest number.
    pub const fn at_least(mut self, min: u64) -> Self {
        self.bounds.min = min;
        self
    }

    /// Sets the largest number.
    pub const fn at_most(mut self, max: u64) -> Self {
        self.bounds.max = max;
        self
    }

    /// Lets the number count milliseconds.
    pub const fn millis(self) -> Self {
        self.counting(Unit::Millis)
    }

    /// Lets the number count seconds, at most ten years.
    pub const fn secs(self) -> Self {
        self.counting(Unit::Secs).at_most(SECONDS_MAX)
    }

    /// Lets the number count minutes.
    pub const fn minutes(self) -> Self {
        self.counting(Unit::Minutes)
    }

    /// Lets the number count hours.
    pub const fn hours(self) -> Self {
        self.counting(Unit::Hours)
    }

    /// Lets 0 mean that there is no limit. The field's type is an `Option`.
    pub const fn zero_is_none(mut self) -> Self {
        self.bounds.zero_is_none = true;
        self
    }

    /// Ends the row of a key whose value a running hub could take over.
    pub const fn live(self) -> Row {
        Row {
            rule: self,
            change: Change::Live,
        }
    }

    /// Ends the row of a key whose value only a start can take over.
    pub const fn start(self) -> Row {
        Row {
            rule: self,
            change: Change::Start,
        }
    }

    const fn counting(mut self, unit: Unit) -> Self {
        self.bounds.unit = unit;
        self
    }
}

/// Ten years: longer than any wait, and no clock overflows.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 3600;
