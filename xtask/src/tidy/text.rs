//! Checks of all texts: marks, links and titles in Markdown, machine paths, size.

use super::{File, Tree};

/// The maximum size of a file in the repository.
const FILE_BYTES_MAX: u64 = 200 * 1024;

/// Extensions of handwritten code.
const CODE: &[&str] = &["rs", "ts", "js", "mjs", "py", "html", "css", "toml", "sh"];

/// Work that is left is an issue. Unfinished work is not committed.
pub fn mark_without_issue(tree: &Tree) -> Vec<String> {
    // Assembled here, so that this file contains no such mark.
    let (unfinished, later) = (["FIX", "ME"].concat(), ["TO", "DO"].concat());
    let mut problems = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| CODE.contains(&file.ending()))
    {
        for (number, line) in file.text.lines().enumerate() {
            let bare = line
                .split(&later)
                .skip(1)
                .any(|rest| !rest.starts_with("(#"));
            if line.contains(&unfinished) || bare {
                problems.push(format!(
                    "{}:{}: a mark of unfinished work",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    problems
}

/// Links to other files of the repository, and to headings, have a target.
pub fn broken_link(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("md") {
        for target in links(&file.text)
            .iter()
            .filter(|target| !target.contains(':'))
        {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() {
                file.path.clone()
            } else {
                resolve(&file.path, path)
            };
            let has_heading = |to: &File| {
                heading.is_empty() || headings(&to.text).iter().any(|own| own == heading)
            };
            if !tree.holds(&path) || tree.file(&path).is_some_and(|to| !has_heading(to)) {
                problems.push(format!("{}: the link to {target} is broken", file.path));
            }
        }
    }
    problems
}

/// Each document begins with a title.
pub fn missing_title(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("md") {
        let first = file
            .text
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with("<!--"));
        if !first.is_some_and(|line| line.starts_with("# ")) {
            problems.push(format!("{}: does not begin with a title", file.path));
        }
    }
    problems
}

/// Each page of the documentation is in a menu of its site: named there, or in a folder of which all are.
pub fn page_outside_the_site(tree: &Tree) -> Vec<String> {
    let menus = ["docs/index.md", "docs/decisions/README.md"];
    let menus = menus.map(|path| tree.file(path).map_or("", |file| file.text.as_str()));
    let named: Vec<&str> = menus
        .iter()
        .flat_map(|text| text.split(['\n', '<', '>']))
        .collect();
    let is_named = |page: &str| {
        let (folder, name) = page.rsplit_once('/').unwrap_or(("", page));
        let decision = folder == "decisions" && (named.contains(&name) || name.starts_with('0'));
        page == "index"
            || named.contains(&page)
            || named.contains(&&*format!("{folder}/*"))
            || decision
    };
    let pages = tree.ending("md").filter_map(|file| {
        let page = file.path.strip_prefix("docs/")?.strip_suffix(".md")?;
        (!is_named(page)).then(|| format!("{}: name it in docs/index.md", file.path))
    });
    pages.collect()
}

/// No file names the machine it was written on, or the source of its packages.
pub fn machine_path(tree: &Tree) -> Vec<String> {
    let folders = ["work", "root", "tmp/plan"].map(|folder| format!("/{folder}/"));
    let hosts = [
        ["registry", "npmjs"],
        ["files", "pythonhosted"],
        ["index", "crates"],
        ["static", "crates"],
    ];
    let hosts = hosts.map(|parts| parts.join("."));
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(found) = folders
                .iter()
                .chain(&hosts)
                .find(|found| line.contains(*found))
            {
                problems.push(format!("{}:{}: names {found}", file.path, number + 1));
            }
        }
    }
    problems
}

/// The repository stays small.
pub fn large_file(tree: &Tree) -> Vec<String> {
    let large = tree.files.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    large
        .map(|file| {
            format!(
                "{}: {} bytes, more than {FILE_BYTES_MAX}",
                file.path, file.bytes
            )
        })
        .collect()
}

/// Returns the targets of the links outside code.
fn links(markdown: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut targets = Vec::new();
    for line in markdown.lines() {
        in_code ^= line.trim_start().starts_with("```");
        // Every second piece between backquotes is code.
        for text in line.split('`').step_by(2).filter(|_| !in_code) {
            let ends = text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'));
            targets.extend(ends.map(|(target, _)| target));
        }
        // In `[`code`](target)` the link text is code, and the target follows the last backquote.
        let after_code = line
            .split("`](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        targets.extend(after_code.map(|(target, _)| target).filter(|_| !in_code));
    }
    targets
}

/// Returns the anchors of the headings.
fn headings(markdown: &str) -> Vec<String> {
    let titles = markdown.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor = |title: &str| {
        title
            .to_lowercase()
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    titles
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

/// Returns the target of `link` in the file at `from`, relative to the root.
pub fn resolve(from: &str, link: &str) -> String {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(folders.pop()),
            _ => folders.push(part),
        }
    }
    folders.join("/")
}
