//! The certificate: its end and its names, from files and from an authority.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};

use super::{ask, check, configured, said};

const FILES: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
                     [tls]\ncertificate = \"FOLDER/both.pem\"\nkey = \"FOLDER/both.pem\"\n";

#[test]
fn a_certificate_of_files_that_expires_is_found_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let toml = with_tls(folder.path(), FILES);
    let both = folder.path().join("both.pem");
    for (days, code, level, found) in [
        (90, 0, "ok", "is valid for 90 more days"),
        (10, 0, "warning", "expires in 10 days"),
        (-1, 1, "problem", "has expired"),
    ] {
        fs::write(&both, pem(days)).unwrap();
        let (given, findings) = ask(&toml, &[]);
        assert_eq!(given, code, "{findings}");
        check(&findings, "certificate", level, "");
        said(&findings, "certificate", found);
    }
    fs::remove_file(&both).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1);
    check(&findings, "certificate", "problem", "tls.certificate");
}

#[test]
fn a_certificate_for_another_name_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let toml = with_tls(folder.path(), FILES);
    fs::write(folder.path().join("both.pem"), pem(90)).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    said(
        &findings,
        "certificate",
        "it is for hub.example.com, the host",
    );
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("hub.example.com", "other.example.net")).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1);
    check(&findings, "certificate", "problem", "other.example.net");
    said(
        &findings,
        "certificate",
        "it is for hub.example.com, *.example.org, 127.0.0.1, not for other.example.net",
    );
    // A wildcard is for one label.
    for (host, code) in [
        ("a.example.org", 0),
        ("127.0.0.1", 0),
        ("a.b.example.org", 1),
    ] {
        fs::write(&toml, text.replace("hub.example.com", host)).unwrap();
        let (given, findings) = ask(&toml, &[]);
        assert_eq!(given, code, "{host}: {findings}");
    }
}

#[test]
fn a_certificate_of_an_authority_that_is_not_renewed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let acme = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
                [tls.acme]\nnames = [\"hub.example.com\"]\n\
                directory = \"https://ca.example.com/directory\"\n";
    let toml = with_tls(folder.path(), acme);
    let stored = folder.path().join("data/acme/ca.example.com-directory");
    fs::create_dir_all(&stored).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    check(&findings, "certificate", "warning", "in the log of the hub");
    said(
        &findings,
        "certificate",
        "has not got one for hub.example.com",
    );
    for (days, code, level, found) in [
        (60, 0, "ok", "is valid for 60 more days"),
        (0, 0, "warning", "expires within a day"),
        (-1, 1, "problem", "has expired"),
    ] {
        fs::write(stored.join("certificate.pem"), pem(days)).unwrap();
        let (given, findings) = ask(&toml, &[]);
        assert_eq!(given, code, "{findings}");
        check(&findings, "certificate", level, "");
        said(&findings, "certificate", found);
    }
    fs::write(stored.join("certificate.pem"), "nothing of the kind").unwrap();
    let (_, findings) = ask(&toml, &[]);
    check(&findings, "certificate", "warning", "remove the file");
}

fn with_tls(folder: &Path, tables: &str) -> String {
    configured(
        folder,
        &tables.replace("FOLDER", &folder.display().to_string()),
    )
}

/// Returns a key and a certificate that is valid for so many days from now.
fn pem(days: i64) -> String {
    let names = ["hub.example.com", "*.example.org", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_hours(24 * 100)).into();
    // Not on the edge of a day.
    let away = Duration::from_hours(24 * days.unsigned_abs()) + Duration::from_mins(5);
    params.not_after = match days {
        ..0 => (now - away).into(),
        0.. => (now + away).into(),
    };
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    format!("{}{}", key.serialize_pem(), certificate.pem())
}
