//! `cargo xtask site`: the documentation site in `target/site`, by Sphinx from `docs/`.
//!
//! Pages of the project that are outside `docs/` have a place in the site too. This file lays the
//! sources out in one folder and adjusts the links between them; `docs/site/` has Sphinx's
//! configuration. Sphinx itself and the tests of the site are elsewhere: `deps.rs` installs it, and
//! `conformance/browser/tests/site.test.mjs` looks at what it made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::deps;
use crate::stages::{Stages, Step};
use crate::tidy::{Tree, resolve};

/// A page outside `docs/`, and its place in the site.
const PAGES: &[(&str, &str)] = &[
    ("ARCHITECTURE.md", "project/architecture.md"),
    ("CHANGELOG.md", "project/changelog.md"),
    ("CONTRIBUTING.md", "project/contributing.md"),
    ("STYLE.md", "project/style.md"),
    ("clients/typescript/README.md", "guide/browser-client.md"),
    ("examples/README.md", "guide/use-cases/examples.md"),
    ("conformance/mercure/CHECKLIST.md", "project/checklist.md"),
    (
        "conformance/sockjs/README.md",
        "project/sockjs-conformance.md",
    ),
    (
        "conformance/websocket/README.md",
        "project/websocket-conformance.md",
    ),
];

/// Where the readme of each example is, under the name of the example.
const EXAMPLES: &str = "guide/use-cases/example-";
/// The folder of the pages.
const DOCS: &str = "docs/";
/// Sphinx's configuration and what it adds to pages. It is not a part of the site.
const CONFIGURATION: &str = "docs/site";
/// The part of the site for files that pages link to and that are no pages, such as an example.
const FILES: &str = "files/";

/// Builds the site. A warning of Sphinx, such as one about a broken link, is a failure.
pub fn build(stages: &mut Stages, root: &Path) {
    let sources = root.join("target/site-sources");
    let site = root.join("target/site");
    stages.check("sources of the site", || {
        lay_out(root, &sources)?;
        empty(&site)?;
        Ok(Vec::new())
    });
    let options = [
        "-m",
        "sphinx",
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "--builder",
        "html",
    ];
    let step = Step::new(deps::python(root), &options)
        .args([PathBuf::from("--conf-dir"), root.join(CONFIGURATION)])
        .args([
            PathBuf::from("--doctree-dir"),
            root.join("target/site-doctrees"),
        ])
        .args([&sources, &site]);
    stages.run("documentation site", &step);
    stages.check("site for language models", || {
        add_markdown(&sources, &site)?;
        println!("open {}", site.join("index.html").display());
        Ok(Vec::new())
    });
}

/// Puts the sources of every page into one folder, as the site has them.
fn lay_out(root: &Path, sources: &Path) -> anyhow::Result<()> {
    empty(sources)?;
    let tree = Tree::read(root)?;
    let mut linked = BTreeSet::new();
    for file in &tree.files {
        let Some(place) = place(&file.path) else {
            continue;
        };
        if matches!(file.ending(), "md" | "txt") {
            let text = moved(&file.text, &file.path, &mut linked);
            write(&sources.join(place), text)?;
        } else {
            copy(&root.join(&file.path), &sources.join(place))?;
        }
    }
    for path in linked {
        // Sphinx reports a link to a file that is not there.
        if root.join(&path).is_file() {
            copy(&root.join(&path), &sources.join(format!("{FILES}{path}")))?;
        }
    }
    Ok(())
}

/// Adds the pages as Markdown beside the HTML ones, which is where `llms.txt` looks for them.
fn add_markdown(sources: &Path, site: &Path) -> anyhow::Result<()> {
    copy(&sources.join("llms.txt"), &site.join("llms.txt"))?;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(sources.join(&folder))? {
            let path = folder.join(entry?.file_name());
            if sources.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                copy(&sources.join(&path), &site.join(&path))?;
            }
        }
    }
    Ok(())
}

/// Returns the place of a file in the site, unless it is in the site only because a page links to it.
fn place(path: &str) -> Option<String> {
    if path.starts_with(CONFIGURATION) {
        return None;
    }
    if let Some((_, to)) = PAGES.iter().find(|(from, _)| *from == path) {
        return Some((*to).to_owned());
    }
    if let Some(example) = path.strip_prefix("examples/") {
        return Some(format!(
            "{EXAMPLES}{}.md",
            example.strip_suffix("/README.md")?
        ));
    }
    path.strip_prefix(DOCS).map(str::to_owned)
}

/// Returns the text of the page at `from` with links that hold where the site has it. Files that
/// are no pages are added to `linked`.
fn moved(text: &str, from: &str, linked: &mut BTreeSet<String>) -> String {
    let mut in_code = false;
    let mut result = String::new();
    for line in text.split_inclusive('\n') {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            result.push_str(line);
            continue;
        }
        // Every second piece between backquotes is code.
        let pieces = line.split('`').enumerate().map(|(number, piece)| {
            if number % 2 == 0 {
                moved_links(piece, from, linked)
            } else {
                piece.to_owned()
            }
        });
        result.push_str(&pieces.collect::<Vec<_>>().join("`"));
    }
    result
}

fn moved_links(text: &str, from: &str, linked: &mut BTreeSet<String>) -> String {
    let mut result = String::new();
    for (number, piece) in text.split("](").enumerate() {
        let target = piece.split_once(')').filter(|_| number > 0);
        if number > 0 {
            result.push_str("](");
        }
        match target {
            Some((target, rest)) if !target.contains(':') && !target.starts_with('#') => {
                result.push_str(&moved_link(target, from, linked));
                result.push(')');
                result.push_str(rest);
            }
            _ => result.push_str(piece),
        }
    }
    result
}

fn moved_link(target: &str, from: &str, linked: &mut BTreeSet<String>) -> String {
    let (path, heading) = match target.split_once('#') {
        Some((path, heading)) => (path, format!("#{heading}")),
        None => (target, String::new()),
    };
    let mut path = resolve(from, path);
    if target.ends_with('/') {
        // A folder is shown by its first page.
        path.push_str("/README.md");
    }
    let to = place(&path).unwrap_or_else(|| {
        linked.insert(path.clone());
        format!("{FILES}{path}")
    });
    let depth = place(from).map_or(0, |from| from.matches('/').count());
    format!("{}{to}{heading}", "../".repeat(depth))
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    let _absent = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
    write(to, bytes)
}

fn write(to: &Path, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(to, bytes).with_context(|| to.display().to_string())
}

#[cfg(test)]
mod tests;
