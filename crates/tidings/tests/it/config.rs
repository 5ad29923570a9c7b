//! `tidings config`, and how `serve` reports invalid settings.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::harness::tokens::{SECRET, settings};
use crate::harness::{TestHub, run};

/// The least that `config check` accepts.
const GOOD: &str = "[[listen]]\naddress = \"127.0.0.1:4400\"\n";

#[test]
fn a_usable_configuration_is_ok_with_code_0() {
    let (code, output, error) = check(&good());
    assert_eq!((code, output.as_str(), error.as_str()), (0, "ok\n", ""));
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    for (text, key, nearest) in [
        (
            "[history]\nretain_byte = 1\n",
            "history.retain_byte",
            "history.retain_bytes",
        ),
        (
            "[limit]\nhead_timeout_secs = 1\n",
            "limit.head_timeout_secs",
            "limits.head_timeout_secs",
        ),
        ("anonymous = true\n", "anonymous", ""),
    ] {
        check_refused(&format!("{text}{}", good()), &[key, "unknown key", nearest]);
    }
    let (code, _, error) = run(
        &["config", "check", "--config", write(&good()).1.as_str()],
        &[("TIDINGS_LOG__LEVELS", "info")],
    );
    assert_eq!(code, 2);
    assert!(
        error.contains("TIDINGS_LOG__LEVELS") && error.contains("TIDINGS_LOG__LEVEL"),
        "{error}"
    );
}

#[test]
fn what_is_missing_is_named_with_what_to_write() {
    check_refused(
        "",
        &[
            "listen.0.address is missing",
            "[[listen]]",
            "TIDINGS_LISTEN__0__ADDRESS",
        ],
    );
    check_refused(
        "",
        &[
            "hub.public_url is missing",
            "https://",
            "TIDINGS_HUB__PUBLIC_URL",
        ],
    );
    check_refused(
        "",
        &["auth.issuers.0.issuer is missing", "[[auth.issuers]]"],
    );
    let no_key = good().replace(&format!("key = \"{SECRET}\""), "");
    check_refused(&no_key, &["auth.issuers.0.key is missing", "key_file"]);
    check_refused(
        &format!("{}[tls]\nkey = \"k\"\n", good()),
        &["tls.certificate is missing"],
    );
}

#[test]
fn what_contradicts_is_named_with_what_to_write() {
    let tls = good().replace("4400\"", "4400\"\ntls = true");
    check_refused(&tls, &["listen.0.tls", "tls.certificate", "tls = false"]);
    check_refused(
        &format!("{}[tls]\ncertificate = \"c\"\nkey = \"k\"\n", good()),
        &["tls.certificate", "tls = true"],
    );
    check_refused(
        &format!("{}subscribe = false\n", good()),
        &["subscribe.anonymous", "write true"],
    );
    check_refused(
        &format!("{}publish = false\n", good()),
        &["auth.issuers.0.publish", "write true"],
    );
    check_refused(
        &format!("{}key_file = \"k\"\n", good()),
        &["auth.issuers.0.key_file", "remove one"],
    );
    check_refused(
        &format!("[auth]\naudiences = []\n{}", good()),
        &["auth.audiences", "write"],
    );
    check_refused(
        &format!("{}[history]\nkind = \"none\"\npath = \"x\"\n", good()),
        &["history.path", "remove one"],
    );
}

#[test]
fn a_level_that_does_not_exist_is_named_with_the_valid_and_the_nearest_ones() {
    for (level, nearest) in [
        ("verbose", "such as debug"),
        ("warning", "such as warn"),
        ("loud", "such as"),
        ("inf0", "such as info"),
        ("info,tidings=loud", "such as"),
        ("tidings", "such as"),
        ("info,", "empty entry"),
        ("info,warn", "two levels"),
        ("=debug", "not a target"),
    ] {
        let valid = "error, warn, info, debug, trace, off";
        let found = level.rsplit(['=', ',']).next().unwrap_or_default();
        let (_folder, file) = write(&format!("[log]\nlevel = \"{level}\"\n{}", good()));
        let (_other, by_variable) = write(&good());
        for (file, variables) in [
            (&file, &[][..]),
            (&by_variable, &[("TIDINGS_LOG__LEVEL", level)][..]),
        ] {
            for words in [&["config", "check"][..], &["serve"]] {
                let (code, _, error) = run(&[words, &["--config", file]].concat(), variables);
                assert_eq!(code, 2, "{level}: {error}");
                assert!(error.contains("log.level: "), "{level}: {error}");
                assert!(error.contains(nearest), "{level}: {error}");
                if nearest.starts_with("such as") {
                    assert!(error.contains(&format!("{found:?}")), "{level}: {error}");
                    assert!(error.contains(valid), "{level}: {error}");
                }
            }
        }
    }
    let (code, _, error) = run(&["broker", "--log", "verbose"], &[]);
    assert_eq!(code, 2);
    assert!(error.contains("such as debug"), "{error}");
    for level in ["INFO", "off", "info,tidings=debug", " warn , hyper=off "] {
        let (code, _, error) = check(&format!("[log]\nlevel = \"{level}\"\n{}", good()));
        assert_eq!(code, 0, "{level}: {error}");
    }
}

#[test]
fn two_listeners_that_need_the_same_port_are_named() {
    let admin = |address: &str| format!("[admin]\naddress = \"{address}\"\n{}", good());
    for address in [
        "127.0.0.1:4400",
        "0.0.0.0:4400",
        "[::]:4400",
        "[::ffff:127.0.0.1]:4400",
    ] {
        check_refused(
            &admin(address),
            &[
                "admin.address",
                "is already used by listen.0.address (127.0.0.1:4400)",
            ],
        );
    }
    let flash = format!("[flash]\naddress = \"127.0.0.1:4400\"\n{}", good());
    check_refused(&flash, &["flash.address", "listen.0.address"]);
    for address in [
        "127.0.0.1:4401",
        "127.0.0.2:4400",
        "[::1]:4400",
        "127.0.0.1:0",
    ] {
        assert_eq!(check(&admin(address)).0, 0, "{address}");
    }
    let any = admin("127.0.0.1:0").replace("127.0.0.1:4400", "127.0.0.1:0");
    assert_eq!(check(&any).0, 0, "the system chooses two ports");
}

#[test]
fn a_host_with_a_scheme_or_a_path_is_refused() {
    for host in ["https://hub.example.com", "hub.example.com/x", "a b", ""] {
        let hosts = good().replace("[hub]\n", &format!("[hub]\nhosts = [{host:?}]\n"));
        check_refused(&hosts, &["hub.hosts"]);
    }
}

#[test]
fn single_and_double_brackets_are_not_mixed_up() {
    let single = good().replace("[[listen]]", "[listen]");
    check_refused(&single, &["listen: write its entries as [[listen]] tables"]);
    let single = good().replace("[[auth.issuers]]", "[auth.issuers]");
    check_refused(
        &single,
        &["auth.issuers: write its entries as [[auth.issuers]]"],
    );
    let double = good().replace("[hub]", "[[hub]]");
    check_refused(&double, &["hub: write its keys in one table [hub]"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let text = format!("{}[data]\ndir = {:?}\n", good(), dir.to_str().unwrap());
        check_refused(&text, &["data.dir", "is not a folder"]);
    }
    let text = format!(
        "{}[history]\npath = {:?}\n",
        good(),
        folder.path().to_str().unwrap()
    );
    check_refused(&text, &["history.path", "is a folder"]);
    let memory = format!(
        "{}[data]\ndir = {:?}\n[history]\nkind = \"memory\"\n",
        good(),
        file.to_str().unwrap()
    );
    assert_eq!(check(&memory).0, 0, "nothing is written there");
}

#[test]
fn a_folder_that_belongs_to_others_is_named_with_who_may_write_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let dir = folder.path().join("data");
    let text = format!("{}[data]\ndir = {:?}\n", good(), dir.to_str().unwrap());
    let (_configuration, path) = write(&text);
    // Root may write everywhere, unless it gives up its capabilities.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let dropped = if is_root { &words[..] } else { &["env"] };
    let output = Command::new(dropped[0])
        .args(&dropped[1..])
        .args([env!("CARGO_BIN_EXE_tidings"), "config", "check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in [
        "data.dir",
        "cannot be written by this process (uid ",
        "mode 0555",
    ] {
        assert!(error.contains(part), "{part:?} is not in\n{error}");
    }
}

#[test]
fn a_secret_that_everybody_may_read_is_warned_of() {
    let (folder, path) = write(&good());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let key = folder.path().join("secret");
    fs::write(&key, SECRET).unwrap();
    let warned = |mode: u32, file: &Path| {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        let (code, output, error) = run(&["config", "check", "--config", &path], &[]);
        assert_eq!((code, output.as_str()), (0, "ok\n"), "{error}");
        error
    };
    for (mode, wanted) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        let error = warned(mode, Path::new(&path));
        let said = format!(
            "warning: auth.issuers.0.key: every user of this machine may read {path} (mode {mode:04o})"
        );
        assert_eq!(error.contains(&said), wanted, "{mode:o}: {error}");
    }
    let by_file = good().replace(
        &format!("key = \"{SECRET}\""),
        &format!("key_file = {key:?}"),
    );
    fs::write(&path, by_file).unwrap();
    assert!(warned(0o644, &key).contains("warning: auth.issuers.0.key_file: "));
    assert_eq!(warned(0o400, &key), "");
    // Whoever cannot enter the folder cannot read what is in it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(warned(0o644, &key), "");
}

#[test]
fn variables_of_kubernetes_services_are_not_read_and_misspelt_ones_are_errors() {
    let (_folder, path) = write(&good());
    let arguments = ["config", "check", "--config", path.as_str()];
    for (name, value) in [
        ("TIDINGS_PORT", "tcp://10.96.0.7:80"),
        ("TIDINGS_SERVICE_HOST", "10.96.0.7"),
        ("TIDINGS_SERVICE_HOST", "fd00::7"),
        ("TIDINGS_SERVICE_PORT", "80"),
        ("TIDINGS_SERVICE_PORT_HTTP", "80"),
        ("TIDINGS_PORT_80_TCP", "tcp://10.96.0.7:80"),
        ("TIDINGS_PORT_80_TCP_PROTO", "tcp"),
        ("TIDINGS_PORT_80_TCP_PORT", "80"),
        ("TIDINGS_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("TIDINGS_HUB_SERVICE_HOST", "10.96.0.7"),
        ("TIDINGS_HUB_PORT_5353_UDP", "udp://10.96.0.7:5353"),
        ("TIDINGS_HUB_PORT_80_TCP_ADDR", "10.96.0.7"),
    ] {
        let (code, _, error) = run(&arguments, &[(name, value)]);
        assert_eq!(code, 0, "{name}={value}: {error}");
    }
    for (name, value) in [
        ("TIDINGS_PORT", "8080"),
        ("TIDINGS_SERVICE_HOST", "hub.example.com"),
        ("TIDINGS_SERVICE_PORT", "tcp"),
        ("TIDINGS_PORT_80_TCP_PROTO", "udp"),
        ("TIDINGS_LISTEN__0__PORT", "80"),
        ("TIDINGS_HUBS", "10.96.0.7"),
    ] {
        let (code, _, error) = run(&arguments, &[(name, value)]);
        assert_eq!(code, 2, "{name}={value}");
        assert!(error.contains(name), "{error}");
    }
    let hub = TestHub::serve_in(
        Arc::new(tempfile::tempdir().unwrap()),
        &settings(""),
        &[
            ("TIDINGS_PORT", "tcp://10.96.0.7:80"),
            ("TIDINGS_SERVICE_HOST", "10.96.0.7"),
        ],
    );
    let log = hub.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("TIDINGS_PORT"))
        .collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(
        said[0].contains("INFO") && said[0].contains("TIDINGS_SERVICE_HOST"),
        "{log}"
    );
}

#[test]
fn wrong_values_are_named_with_what_to_write() {
    for (table, name, advice) in [
        ("[log]\nformat = \"xml\"", "log.format", "one of text, json"),
        ("[pages]\nchat = \"yes\"", "pages.chat", "true or false"),
        (
            "[limits]\nhead_timeout_secs = -1",
            "limits.head_timeout_secs",
            "a whole number",
        ),
        (
            "[limits]\nconnections_max = 0",
            "limits.connections_max",
            "at least 1",
        ),
        (
            "[cors]\norigins = [\"example.com\"]",
            "cors.origins",
            "https://example.com",
        ),
        (
            "[cors]\nheaders = [\"X Y\"]",
            "cors.headers",
            "X-Requested-With",
        ),
        (
            "[admin]\naddress = \"localhost\"",
            "admin.address",
            "127.0.0.1:4400",
        ),
    ] {
        check_refused(&format!("{}{table}\n", good()), &[name, advice]);
    }
    for (host, advice) in [
        ("hub.example.com/", "hub.example.com:8443"),
        ("a b", "hub.example.com:8443"),
        ("", "hub.example.com:8443"),
        (
            "https://hub.test",
            "is a URL, and a host has no scheme and no path: write it like \"hub.test\"",
        ),
        ("http://hub.test:81/x?y", "write it like \"hub.test:81\""),
        ("https://", "hub.example.com:8443"),
    ] {
        check_refused(
            &good().replace("[hub]", &format!("[hub]\nhosts = [{host:?}]")),
            &["hub.hosts", advice],
        );
    }
    check_refused(
        &good().replace(SECRET, "short"),
        &["auth.issuers.0.key", "openssl rand"],
    );
}

#[test]
fn tokens_over_plain_http_between_machines_must_be_allowed() {
    let plain = good().replace("https://hub.example.com", "http://hub.example.com");
    check_refused(
        &plain,
        &[
            "hub.public_url",
            "in the clear",
            "https://",
            "hub.allow_plaintext = true",
        ],
    );
    let allowed = plain.replace("[hub]", "[hub]\nallow_plaintext = true");
    assert_eq!(check(&allowed).0, 0);
    for here in [
        "http://localhost:4400",
        "http://127.0.0.1:4400",
        "http://[::1]:4400",
    ] {
        assert_eq!(
            check(&good().replace("https://hub.example.com", here)).0,
            0,
            "{here}"
        );
    }
    // `serve` refuses as `config check` does.
    let (_folder, path) = write(&plain);
    let (code, _, error) = run(&["serve", "--config", &path], &[]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("hub.allow_plaintext"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "[log]\nformat = \"xml\"\n[nothing]\nhere = 1\n[pages]\nchat = 1\n";
    check_refused(text, &["log.format", "nothing.here", "pages.chat"]);
    check_refused(
        "",
        &[
            "listen.0.address",
            "hub.public_url",
            "auth.issuers.0.issuer",
        ],
    );
}

#[test]
fn serve_refuses_before_it_touches_anything() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = format!(
        "{}[data]\ndir = {data:?}\n[log]\nlevel = \"info\"\nlevels = 1\n",
        good()
    );
    let path = folder.path().join("tidings.toml");
    fs::write(&path, text).unwrap();
    let (code, output, error) = run(&["serve", "--config", path.to_str().unwrap()], &[]);
    assert_eq!((code, output.as_str()), (2, ""));
    assert!(error.contains("log.levels"), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_file_that_cannot_be_read_has_code_2() {
    for command in [&["config", "check"][..], &["config", "show"], &["serve"]] {
        let arguments = [command, &["--config", "/nowhere/tidings.toml"]].concat();
        let (code, _, error) = run(&arguments, &[]);
        assert_eq!(code, 2, "{command:?}");
        assert!(error.contains("/nowhere/tidings.toml"), "{error}");
    }
    check_refused("[hub\n", &["tidings.toml", "line 1"]);
    assert_eq!(run(&["config", "frobnicate"], &[]).0, 2);
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let keys = documented_keys();
    assert!(keys.len() > 40, "{keys:?}");
    let mut variables = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, (variable, form)) in keys.iter().enumerate() {
        let last = form.rsplit(", ").next().unwrap().to_owned();
        let (value, shown) = match form.as_str() {
            "true or false" => ("true".to_owned(), "true".to_owned()),
            "a whole number, not negative" => {
                (format!("{}", number + 1000), format!("{}", number + 1000))
            }
            "a list of texts" => (
                format!("a{number}, b{number}"),
                format!("[\"a{number}\", \"b{number}\"]"),
            ),
            form if form.starts_with("one of ") => (last.clone(), format!("\"{last}\"")),
            _ => (format!("text-{number}"), format!("\"text-{number}\"")),
        };
        let name = variable.rsplit("__").next().unwrap().to_lowercase();
        let hidden = [
            "ADMIN__TOKEN",
            "CLUSTER__PEER_TOKEN",
            "ACME__EAB_KEY",
            "ISSUERS__N__KEY",
            "TRACES__HEADERS",
            "ZEROMQ__PASSWORD",
        ];
        let shown = if hidden.iter().any(|secret| variable.ends_with(secret)) {
            "\"(hidden)\"".to_owned()
        } else {
            shown
        };
        lines.push(format!("{name} = {shown} # environment"));
        variables.insert(variable.replace("__N__", "__0__"), value);
    }
    let environment: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // The file says something else, and the environment counts.
    let (_folder, path) = write("[log]\nlevel = \"from the file\"\n");
    let (code, output, error) = run(&["config", "show", "--config", &path], &environment);
    assert_eq!(code, 0, "{error}");
    for line in &lines {
        assert!(
            output.lines().any(|found| found == line),
            "{line} is not in\n{output}"
        );
    }
    assert_eq!(
        output.matches("# environment").count(),
        keys.len(),
        "{output}"
    );
    assert!(!output.contains("from the file"));
}

#[test]
fn a_variable_changes_what_serve_does() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let environment = [("TIDINGS_SUBSCRIBE__ANONYMOUS", "true")];
    let hub = TestHub::serve_in(
        folder,
        &settings("[subscribe]\nanonymous = false\n"),
        &environment,
    );
    drop(hub.subscribe("match=a"));
}

#[test]
fn show_says_where_each_value_comes_from_and_hides_secrets() {
    let (_folder, path) = write(&good());
    let environment = [
        ("TIDINGS_AUTH__ISSUERS__1__ISSUER", "https://other.example"),
        (
            "TIDINGS_AUTH__ISSUERS__1__KEY",
            "another-secret-of-at-least-32-bytes",
        ),
    ];
    let (code, output, error) = run(&["config", "show", "--config", &path], &environment);
    assert_eq!(code, 0, "{error}");
    assert!(
        !output.contains(SECRET) && !output.contains("another-secret"),
        "{output}"
    );
    assert_eq!(output.matches("(hidden)").count(), 2, "{output}");
    for line in [
        "address = \"127.0.0.1:4400\" # file",
        "retain_hours = 168 # default",
        "issuer = \"https://other.example\" # environment",
    ] {
        assert!(output.contains(line), "{line} is not in\n{output}");
    }
    // What is shown can be read as a file again, once the secrets are in.
    let again = output.replace("(hidden)", SECRET);
    assert_eq!(check(&again).0, 0, "{}", check(&again).2);
}

#[test]
fn an_error_does_not_show_a_secret() {
    let secret = "a-secret-that-is-too-short";
    let (_, _, error) = check(&good().replace(SECRET, secret));
    assert!(
        error.contains("auth.issuers.0.key") && !error.contains(secret),
        "{error}"
    );
}

#[test]
fn the_manual_in_the_guide_is_what_config_docs_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/configuration.md");
    let (code, output, _) = run(&["config", "docs"], &[]);
    assert_eq!(code, 0);
    let guide = fs::read_to_string(path).unwrap();
    let (generated, manual) = guide.split_once("\n\n").unwrap();
    assert!(generated.contains("by cargo xtask codegen"), "{generated}");
    assert!(manual == output, "run `cargo xtask codegen`");
}

fn good() -> String {
    format!("{GOOD}{}", settings(""))
}

/// Writes a configuration; the folder lives as long as its handle.
fn write(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    fs::write(&path, text).unwrap();
    // Nobody else may read the secret in it, or there is a warning.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn check(text: &str) -> (i32, String, String) {
    let (_folder, path) = write(text);
    run(&["config", "check", "--config", &path], &[])
}

#[track_caller]
fn check_refused(text: &str, said: &[&str]) {
    let (code, output, error) = check(text);
    assert_eq!((code, output.as_str()), (2, ""), "{error}");
    for part in said {
        assert!(error.contains(part), "{part:?} is not in\n{error}");
    }
}

/// Returns variable and form of every key, as the manual has them.
fn documented_keys() -> Vec<(String, String)> {
    let (_, manual, _) = run(&["config", "docs"], &[]);
    let mut keys = Vec::new();
    let mut form = String::new();
    for line in manual.lines() {
        if let Some(text) = line.strip_prefix("- Value: ") {
            form = text.to_owned();
        } else if let Some(text) = line.strip_prefix("- Variable: ") {
            keys.push((text.trim_matches('`').to_owned(), form.clone()));
        }
    }
    keys
}

#[test]
fn forms_meanings_and_files_are_checked_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    fs::write(
        &path,
        "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = true\n[tls]\ncertificate = \"/nowhere/c.pem\"\n\
         key = \"/nowhere/k.pem\"\n[hub]\npublic_ur = \"x\"\n[limits]\nhead_timeout_secs = \"soon\"\n\
         [cors]\norigins = [\"https://a/b\"]\n",
    )
    .unwrap();
    let path = path.display().to_string();
    let (code, _, error) = run(
        &["config", "check", "--config", &path],
        &[("TIDINGS_X", "")],
    );
    assert_eq!(code, 2);
    let said: Vec<&str> = error
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().split([':', ' ']).next())
        .collect();
    // The form of what is written, what it means, what is missing, and the files: in one run.
    for key in [
        "hub.public_ur",
        "limits.head_timeout_secs",
        "TIDINGS_X",
        "cors.origins",
        "auth.issuers.0.issuer",
        "tls",
    ] {
        assert_eq!(
            said.iter().filter(|said| **said == key).count(),
            1,
            "{key}\n{error}"
        );
    }
    // What is misspelt is not missing besides.
    assert!(!said.contains(&"hub.public_url"), "{error}");
}
