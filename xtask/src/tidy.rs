//! The project's own checks of its files, for rules that no compiler lint covers.
//!
//! This file has the list of checks and the tree that they read. Each check is a function from the
//! tree to problems, about ten lines long, with a two-line test. `tidy/` groups them by their
//! input.

mod claims;
mod modules;
mod project;
mod rust;
mod text;

use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::rust_text::code_of;
use crate::{checklist, compatibility};

/// Files with more lines are printed. This is a question, not an error.
const LINES_MAX: usize = 600;

pub use text::resolve;

type Check = fn(&Tree) -> Vec<String>;

const CHECKS: &[Check] = &[
    rust::header_is_missing,
    rust::forbidden_file_name,
    rust::ignored_test,
    rust::banned_word,
    rust::long_inline_tests,
    text::mark_without_issue,
    text::broken_link,
    text::missing_title,
    text::page_outside_the_site,
    text::machine_path,
    text::large_file,
    claims::wrong_invariant,
    claims::untyped_error,
    claims::empty_prefix,
    claims::own_macro,
    claims::sleeping_test,
    claims::long_decision,
    claims::same_number,
    project::forbidden_edge,
    project::foreign_dependency,
    modules::circle_of_layers,
    modules::forbidden_arrow,
    project::lints_not_inherited,
    project::dependency_without_reason,
    project::unused_dependency,
    project::decoder_without_fuzz_target,
    checklist::gaps,
    compatibility::gaps,
];

/// Every file that is committed or could be.
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
}

/// A file of the tree.
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Its text, with replacement characters for bytes that are not UTF-8.
    pub text: String,
    /// Its size in bytes.
    pub bytes: u64,
    code: OnceCell<String>,
}

impl File {
    /// Makes a file with this text.
    pub fn new(path: &str, text: String, bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            text,
            bytes,
            code: OnceCell::new(),
        }
    }

    /// Returns the text of a Rust source without comments and strings. It is computed once.
    pub fn code(&self) -> &str {
        self.code.get_or_init(|| code_of(&self.text))
    }

    /// Returns the file's extension: `rs`, `md` …
    pub fn ending(&self) -> &str {
        Path::new(&self.path)
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default()
    }

    /// Returns the file's name without folder and extension.
    pub fn stem(&self) -> &str {
        Path::new(&self.path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
    }
}

impl Tree {
    /// Reads the files that git lists under `root`: committed ones, and new ones that are not
    /// ignored.
    ///
    /// # Errors
    ///
    /// If git cannot list them.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let arguments = ["ls-files", "-co", "--exclude-standard", "-z"];
        let listed = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output();
        let listed = listed.context("cannot run git")?;
        ensure!(
            listed.status.success(),
            "git ls-files ended with {}",
            listed.status
        );
        let paths = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut files = Vec::new();
        for path in paths.split_terminator('\0') {
            // A file that is deleted but not yet committed is still listed.
            if let Ok(bytes) = std::fs::read(root.join(path)) {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                files.push(File::new(path, text, bytes.len() as u64));
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    /// Returns the files with this extension.
    pub fn ending(&self, ending: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.ending() == ending)
    }

    /// Returns the file at exactly this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns whether there is a file at `path`, or a folder with files.
    pub fn holds(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self
                .files
                .iter()
                .any(|file| file.path == path || file.path.starts_with(&folder))
    }
}

/// Runs every check. Returns the problems.
///
/// # Errors
///
/// If the tree is not readable.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let tree = Tree::read(root)?;
    for file in tree.ending("rs") {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            println!("{}: {lines} lines: does it still hold one idea?", file.path);
        }
    }
    print!("{}", modules::drawing());
    Ok(CHECKS.iter().flat_map(|check| check(&tree)).collect())
}

#[cfg(test)]
mod tests;
