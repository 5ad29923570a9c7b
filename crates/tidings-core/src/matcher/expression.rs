//! One regular expression as a table of states, for the `(…)`, names and wildcards of a pattern
//! that cannot be tested by literals alone.
//!
//! The expression is compiled to a deterministic automaton. Its memory is constant, and testing a
//! text costs one lookup per byte. An expression with too many states is refused.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{
    Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition,
};

use crate::limits::{PATTERN_CLASSES_MAX, PATTERN_REGEX_BYTES_MAX};
use crate::matcher::PatternError;

/// A compiled regular expression that matches whole texts.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The column of each byte. Bytes that no state distinguishes share one.
    columns: [u8; 256],
    /// One row per state. Each column holds the start of the next state's row; the last one holds
    /// whether the text may end here.
    table: Box<[u16]>,
    row_len: usize,
    /// The start of the first state's row.
    start: u16,
}

impl Expression {
    /// Compiles an expression, if the result takes at most `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// [`PatternError::TooComplex`] if the automaton or its table would be larger.
    pub(crate) fn compile(source: &Hir, bytes_max: usize) -> Result<Self, PatternError> {
        let too_complex = PatternError::TooComplex {
            max: PATTERN_REGEX_BYTES_MAX,
        };
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .shrink(false)
                    .which_captures(thompson::WhichCaptures::None)
                    .nfa_size_limit(Some(AUTOMATON_BYTES_MAX)),
            )
            .build_from_hir(source)
            .map_err(|_too_big| too_complex)?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::All)
                    .accelerate(false)
                    .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
                    .determinize_size_limit(Some(AUTOMATON_BYTES_MAX)),
            )
            .build_from_nfa(&nfa)
            .map_err(|_too_big| too_complex)?;
        Self::of(&dfa)
            .filter(|expression| expression.bytes() <= bytes_max)
            .ok_or(too_complex)
    }

    /// Copies the reachable states. `None` if the table would have more cells than a `u16` can
    /// number.
    fn of(dfa: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let classes = dfa.byte_classes();
        let mut columns = [0; 256];
        for (byte, column) in (0..=u8::MAX).zip(&mut columns) {
            *column = classes.get(byte);
        }
        let bytes: Vec<u8> = classes
            .representatives(0..=u8::MAX)
            .filter_map(|unit| unit.as_u8())
            .collect();
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let row_len = bytes.len() + 1;
        let mut states = States {
            found: Vec::new(),
            rows: HashMap::default(),
            row_len,
        };
        let start = states.row(dfa, dfa.start_state(&anchored).ok()?)?;
        // The row of the dead state, which leads nowhere.
        let mut table = vec![DEAD; row_len];
        let mut done = 0;
        while let Some(&state) = states.found.get(done) {
            done += 1;
            for &byte in &bytes {
                table.push(states.row(dfa, dfa.next_state(state, byte))?);
            }
            table.push(u16::from(dfa.is_match_state(dfa.next_eoi_state(state))));
        }
        Some(Self {
            columns,
            table: table.into(),
            row_len,
            start,
        })
    }

    /// Returns whether the whole `text` matches. Takes time linear in its length.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let mut state = self.start;
        for &byte in text {
            let column = self.columns.get(usize::from(byte)).copied();
            state = self.cell(state, column.unwrap_or_default().into());
            if state == DEAD {
                return false;
            }
        }
        self.cell(state, self.row_len - 1) == ACCEPTED
    }

    /// Returns the bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.table)
    }

    fn cell(&self, state: u16, column: usize) -> u16 {
        let cell = self.table.get(usize::from(state) + column);
        cell.copied().unwrap_or(DEAD)
    }
}

/// The states found so far, in the order of their rows. The dead state has the first row and is not
/// in the list.
struct States {
    found: Vec<StateID>,
    rows: HashMap<StateID, u16, RandomState>,
    row_len: usize,
}

impl States {
    /// Returns the start of a state's row; `None` beyond what the table can number.
    fn row(&mut self, dfa: &dense::DFA<Vec<u32>>, state: StateID) -> Option<u16> {
        // The automaton has no quit bytes, so a quit state never occurs; it counts as dead.
        if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
            return Some(DEAD);
        }
        if let Some(row) = self.rows.get(&state) {
            return Some(*row);
        }
        self.found.push(state);
        let row = u16::try_from(self.found.len() * self.row_len).ok()?;
        self.rows.insert(state, row);
        Some(row)
    }
}

/// Parses an expression, which will be matched against ASCII, or against bytes where it says so.
///
/// # Errors
///
/// [`PatternError::Regexp`] if it breaks the grammar; [`PatternError::TooManyClasses`] if it
/// contains a Unicode class and more classes than the limit.
pub(crate) fn parse(source: &str) -> Result<Hir, PatternError> {
    let names_unicode = names_unicode(source);
    // Parsing Unicode classes is slow.
    if names_unicode {
        let count = classes(source);
        if count > PATTERN_CLASSES_MAX {
            return Err(PatternError::TooManyClasses { count });
        }
    }
    let hir = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .unicode(names_unicode)
        .build()
        .parse(source)
        .map_err(|_syntax| PatternError::Regexp)?;
    Ok(if names_unicode { ascii_of(&hir) } else { hir })
}

/// Returns whether an expression uses Unicode: by a class such as `\p{L}`, or by the flag `u`.
fn names_unicode(source: &str) -> bool {
    let sets_flag = |after: &str| {
        let flags = after.split([':', ')', '-']).next();
        flags.is_some_and(|flags| flags.contains('u'))
    };
    source.contains("\\p") || source.contains("\\P") || source.split("(?").skip(1).any(sets_flag)
}

/// Counts what may be a character class: each `[` and each escaped letter.
fn classes(source: &str) -> usize {
    let mut count = 0;
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        let escaped = character == '\\' && characters.next().is_some_and(char::is_alphabetic);
        count += usize::from(escaped || character == '[');
    }
    count
}

/// Returns an expression that means the same for ASCII text, without Unicode classes. With these,
/// it would take fifty times the memory, and longer to compile.
fn ascii_of(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            min: repetition.min,
            max: repetition.max,
            greedy: repetition.greedy,
            sub: Box::new(ascii_of(&repetition.sub)),
        }),
        HirKind::Capture(capture) => Hir::capture(Capture {
            index: capture.index,
            name: capture.name.clone(),
            sub: Box::new(ascii_of(&capture.sub)),
        }),
        HirKind::Concat(items) => Hir::concat(items.iter().map(ascii_of).collect()),
        HirKind::Alternation(items) => Hir::alternation(items.iter().map(ascii_of).collect()),
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            Look::Start
            | Look::End
            | Look::StartLF
            | Look::EndLF
            | Look::StartCRLF
            | Look::EndCRLF
            | Look::WordAscii
            | Look::WordAsciiNegate
            | Look::WordStartAscii
            | Look::WordEndAscii
            | Look::WordStartHalfAscii
            | Look::WordEndHalfAscii => *look,
        }),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(Class::Bytes(_)) => hir.clone(),
    }
}

/// The start of the dead state's row. No byte leads out of that state.
const DEAD: u16 = 0;

/// The last column's value for a state in which the text may end.
const ACCEPTED: u16 = 1;

/// Bytes that each intermediate automaton may take during compilation. This bounds the time to some
/// milliseconds: the worst patterns tried needed that long to be refused.
const AUTOMATON_BYTES_MAX: usize = 4 * PATTERN_REGEX_BYTES_MAX;

#[cfg(test)]
mod tests;
