//! `tidings doctor`: each finding that a test can provoke, by the real binary.

mod certificate;
mod engine;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::key_server::{Behaviour, IssuerKey, KeyServer, document};
use crate::harness::serving::serve_tls;
use crate::harness::tokens::settings;
use crate::harness::{TestHub, run, run_under};

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:4400\"\n";

#[test]
fn limits_of_the_system_are_compared_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(
        folder.path(),
        &format!("{LISTEN}[limits]\nconnections_max = 900_000_000\n"),
    );
    let system = folder.path().join("system");
    for (name, text) in [
        ("proc/sys/net/core/somaxconn", "128\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "4000\t5000\n"),
        ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
        ("proc/sys/net/netfilter/nf_conntrack_count", "17\n"),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never\n",
        ),
    ] {
        let path = system.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let system_argument = system.display().to_string();
    let ask = || ask(&toml, &["--system", &system_argument]);
    let (code, findings) = ask();
    // Warnings are no failure.
    assert_eq!(code, 0, "{findings}");
    check(&findings, "open files", "warning", "LimitNOFILE=");
    check(&findings, "backlog", "warning", "net.core.somaxconn = 4096");
    check(
        &findings,
        "ports",
        "warning",
        "net.ipv4.ip_local_reserved_ports = 4400",
    );
    check(
        &findings,
        "conntrack",
        "warning",
        "net.netfilter.nf_conntrack_max = 1800000000",
    );
    // Whether a program may turn them off for itself depends on the kernel.
    said(&findings, "huge pages", "always, ");
    fs::write(
        system.join("sys/kernel/mm/transparent_hugepage/enabled"),
        "always [madvise] never\n",
    )
    .unwrap();
    fs::write(system.join("proc/sys/net/core/somaxconn"), "4096\n").unwrap();
    fs::write(
        system.join("proc/sys/net/ipv4/ip_local_reserved_ports"),
        "1,4000-4500\n",
    )
    .unwrap();
    let (_, findings) = ask();
    check(&findings, "backlog", "ok", "");
    said(
        &findings,
        "huge pages",
        "transparent huge pages: always [madvise]",
    );
    check(&findings, "ports", "ok", "");
}

#[test]
fn a_configuration_that_is_wrong_is_a_problem_and_readable_secrets_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), "[[listen]]\naddress = \"nowhere\"\n");
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1);
    check(&findings, "configuration", "problem", "");
    let toml = configured(folder.path(), LISTEN);
    let (_, findings) = ask(&toml, &[]);
    let shown = findings.to_string();
    assert!(
        shown.contains("every user of this machine may read"),
        "{shown}"
    );
    // The data folder is a file.
    fs::write(folder.path().join("data"), "").unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1);
    check(&findings, "data folder", "problem", "");
}

#[test]
fn the_limit_of_open_files_is_that_of_the_running_hub_if_there_is_one() {
    let limits = "[limits]\nconnections_max = 100\n[server]\nshards = 1\n";
    let few = ["sh", "-c", "ulimit -n 70; exec \"$0\" \"$@\""];
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), &format!("{LISTEN}{limits}"));
    let ask = |toml: &str| {
        let (_, said, error) = run_under(&few, &["doctor", "--json", "--config", toml], &[]);
        let json: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}"));
        json["findings"].clone()
    };
    let findings = ask(&toml);
    check(&findings, "open files", "warning", "LimitNOFILE=");
    let hub = TestHub::serve(&settings(limits));
    let findings = ask(&hub.folder().join("tidings.toml").display().to_string());
    check(&findings, "open files", "ok", "");
    said(&findings, "open files", "the running hub may have ");
}

#[test]
fn an_address_that_is_taken_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let toml = configured(
        folder.path(),
        &format!("[[listen]]\naddress = \"{address}\"\n"),
    );
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    check(&findings, "listeners", "warning", "listen.0.address");
    drop(taken);
    let (_, findings) = ask(&toml, &[]);
    check(&findings, "listeners", "ok", "");
    // What a running hub listens on is not tried.
    let hub = TestHub::serve(&settings(""));
    let (_, findings) = ask(
        &hub.folder().join("tidings.toml").display().to_string(),
        &[],
    );
    let all = findings.as_array().unwrap();
    assert!(
        all.iter().all(|one| one["check"] != "listeners"),
        "{findings}"
    );
}

#[test]
fn the_disk_of_the_data_folder_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), LISTEN);
    let (_, findings) = ask(&toml, &[]);
    said(&findings, "disk", "is not there yet");
    fs::create_dir(folder.path().join("data")).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    said(&findings, "disk", " ms");
    let left: Vec<_> = fs::read_dir(folder.path().join("data")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn json_has_the_documented_members() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), "[[listen]]\naddress = \"nowhere\"\n");
    let (_, said, _) = run(&["doctor", "--json", "--config", &toml], &[]);
    let json: Value = serde_json::from_str(&said).unwrap();
    let members: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(members, ["findings", "ok"]);
    assert_eq!(json["ok"], json!(false));
    assert_eq!(
        json["findings"][0],
        json!({
            "check": "configuration",
            "level": "problem",
            "found": "listen.0.address: \"nowhere\" is not an IP address with a port: \
                      write it like \"127.0.0.1:4400\" or \"[::]:443\"",
            "why": "the hub does not start with it",
            "change": "listen.0.address",
        })
    );
    let toml = configured(folder.path(), LISTEN);
    let (_, findings) = ask(&toml, &[]);
    let usable = json!({"check": "configuration", "level": "ok", "found": "usable"});
    assert_eq!(findings[0], usable);
}

#[test]
fn an_issuer_that_does_not_give_its_keys_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let server = KeyServer::start(folder.path(), document(&[&IssuerKey::new("a")]));
    let toml = configured(folder.path(), &issuer(&server));
    let (code, findings) = ask_in(&toml, &[], &server.environment());
    assert_eq!(code, 0, "{findings}");
    check(&findings, "issuer", "ok", "");
    server.behave(Behaviour::Close);
    let (code, findings) = ask_in(&toml, &[], &server.environment());
    assert_eq!(code, 1);
    check(&findings, "issuer", "problem", "auth.issuers.N.jwks_url");
}

#[test]
fn an_issuer_without_a_usable_key_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let shared = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    let server = KeyServer::start(folder.path(), Behaviour::Document(shared));
    let toml = configured(folder.path(), &issuer(&server));
    let (code, findings) = ask_in(&toml, &[], &server.environment());
    assert_eq!(code, 1, "{findings}");
    check(&findings, "issuer", "problem", "the keys of the issuer");
    said(&findings, "issuer", "an entry is a shared secret");
    server.behave(Behaviour::Raw("HTTP/1.1 404 Not Found\r\n\r\n".to_owned()));
    let (code, findings) = ask_in(&toml, &[], &server.environment());
    assert_eq!(code, 1, "{findings}");
    said(&findings, "issuer", "answered 404");
}

#[test]
fn a_clock_that_differs_from_the_issuers_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let Behaviour::Document(body) = document(&[&IssuerKey::new("a")]) else {
        panic!("a document")
    };
    let at = |time: SystemTime| {
        Behaviour::Raw(format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            httpdate::fmt_http_date(time),
            body.len()
        ))
    };
    let now = SystemTime::now();
    let server = KeyServer::start(folder.path(), at(now));
    let toml = configured(folder.path(), &issuer(&server));
    let ask = || ask_in(&toml, &[], &server.environment());
    for apart in [Duration::from_secs(300), Duration::from_hours(24)] {
        for time in [now - apart, now + apart] {
            server.behave(at(time));
            let (code, findings) = ask();
            assert_eq!(code, 1, "{findings}");
            check(&findings, "clock", "problem", "chrony");
        }
    }
    server.behave(at(SystemTime::now()));
    let (code, findings) = ask();
    assert_eq!(code, 0, "{findings}");
    check(&findings, "clock", "ok", "");
}

#[test]
fn a_running_hub_is_compared_with_its_file_and_tested_from_outside() {
    let hub = TestHub::serve(&settings("[pages]\ndiagnose = true\n"));
    let toml = hub.folder().join("tidings.toml").display().to_string();
    let url = format!("http://{}/.well-known/mercure", hub.address);
    let (_, findings) = ask(&toml, &["--url", &url]);
    said(&findings, "running hub", "it does what its file says");
    check(&findings, "events", "ok", "");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(
        &toml,
        format!("{text}[limits]\nconnections_max = 7\n[presence]\nenabled = true\n"),
    )
    .unwrap();
    let (_, findings) = ask(&toml, &[]);
    let shown = findings.to_string();
    check(&findings, "running hub", "warning", "tidings reload");
    assert!(
        shown.contains("limits.connections_max is 100000 and its file says 7"),
        "{shown}"
    );
    assert!(
        shown.contains("presence.enabled is false and its file says true"),
        "{shown}"
    );
    // Nothing was changed by asking.
    let (_, again) = ask(&toml, &[]);
    assert!(
        again
            .to_string()
            .contains("limits.connections_max is 100000")
    );
    fs::write(&toml, format!("{text}[limits]\nconnections = 7\n")).unwrap();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1);
    check(&findings, "configuration", "problem", "limits.connections");
}

#[test]
fn a_hub_that_a_url_does_not_reach_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), LISTEN);
    let (code, findings) = ask(&toml, &["--url", "http://127.0.0.1:1/.well-known/mercure"]);
    assert_eq!(code, 1);
    check(&findings, "events", "problem", "");
    let hub = TestHub::serve(&settings(""));
    let url = format!("http://{}/.well-known/mercure", hub.address);
    let (_, findings) = ask(&toml, &["--url", &url]);
    check(&findings, "events", "warning", "pages.diagnose = true");
}

#[test]
fn people_read_what_was_found_why_it_matters_and_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let toml = configured(folder.path(), "[[listen]]\naddress = \"nowhere\"\n");
    let (code, said, error) = run(&["doctor", "--config", &toml], &[]);
    assert_eq!(code, 1);
    assert!(
        said.contains("PROBLEM  configuration: listen.0.address"),
        "{said}"
    );
    assert!(
        said.contains("         why: the hub does not start with it\n"),
        "{said}"
    );
    assert!(error.contains("problem"), "{error}");
}

#[test]
fn a_hub_behind_tls_is_tested_with_an_authority_of_ones_own() {
    let (hub, _certificate) = serve_tls("[pages]\ndiagnose = true\n");
    let toml = hub.folder().join("tidings.toml").display().to_string();
    let port = hub.address.port();
    let url = format!("https://localhost:{port}/.well-known/mercure");
    let (_, findings) = ask(&toml, &["--url", &url]);
    check(&findings, "events", "problem", "");
    let authority = hub.folder().join("certificate.pem").display().to_string();
    let (_, findings) = ask(&toml, &["--url", &url, "--ca", &authority]);
    check(&findings, "events", "ok", "");
}

fn issuer(server: &KeyServer) -> String {
    let url = server.url();
    format!("{LISTEN}[[auth.issuers]]\nissuer = \"https://id.example.com\"\njwks_url = {url:?}\n")
}

/// Writes a configuration into the folder, with a data folder there.
fn configured(folder: &Path, more: &str) -> String {
    let data = folder.join("data").display().to_string();
    let path = folder.join("tidings.toml");
    let text = settings(&format!("{more}[data]\ndir = {data:?}\n"));
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn ask(toml: &str, arguments: &[&str]) -> (i32, Value) {
    ask_in(toml, arguments, &[])
}

fn ask_in(toml: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    let all = [&["doctor", "--json", "--config", toml], arguments].concat();
    let (code, said, error) = run(&all, environment);
    let json: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}"));
    assert_eq!(json["ok"], code == 0, "{json}");
    (code, json["findings"].clone())
}

/// Looks for a finding of a check at a level, whose change contains a text.
#[track_caller]
fn check(findings: &Value, check: &str, level: &str, change: &str) {
    let all = findings.as_array().unwrap();
    let found = all.iter().any(|finding| {
        let named = finding["change"].as_str().unwrap_or_default();
        finding["check"] == check && finding["level"] == level && named.contains(change)
    });
    assert!(found, "{check} {level} {change}: {findings}");
}

/// Looks for a finding of a check that says a text.
#[track_caller]
fn said(findings: &Value, check: &str, text: &str) {
    let all = findings.as_array().unwrap();
    let found = all.iter().any(|finding| {
        let found = finding["found"].as_str().unwrap_or_default();
        finding["check"] == check && found.contains(text)
    });
    assert!(found, "{check} {text}: {findings}");
}
