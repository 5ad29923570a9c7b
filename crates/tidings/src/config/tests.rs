//! Reading the file and the environment together.

use super::*;

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = load(Some(Path::new("/nowhere/tidings.toml")), &[]).unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/tidings.toml: "),
        "{error}"
    );
}

#[test]
fn a_named_file_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[log]\nlevel = \"warn\"\n").unwrap();
    let settings = load(Some(file.path()), &[]).unwrap();
    assert_eq!(
        settings.find("log.level").unwrap().value.as_str(),
        Some("warn")
    );
}
