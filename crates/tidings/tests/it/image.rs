//! The image, without a container engine: the test reads the steps of the `Dockerfile`, of `compose.yaml` and
//! of the guide's `docker run` lines from those files and executes them.
//!
//! It does what an engine would do: it sets the variables of the image and of the line, runs the image's entry
//! point and command, and its health check, and checks its owner (by refusing root in the files).
//! Only the ports differ: those of the machine may be in use, so the hub gets a free one, and
//! `tidings config show` tells that it would listen on the port that the line publishes.

use std::fs;
use std::path::Path;

use crate::harness::{HUB_PATH, Request, TestHub, run};

/// A step of a `Dockerfile`.
struct Step {
    name: String,
    rest: String,
}

#[test]
fn the_image_is_built_from_what_is_there_and_runs_without_root() {
    let steps = dockerfile();
    let last = steps.iter().rposition(|step| step.name == "FROM").unwrap();
    let (build, image) = steps.split_at(last);
    // What is built is what the workspace builds, with the versions of its lock file.
    let cargo = build
        .iter()
        .find(|step| step.rest.starts_with("cargo "))
        .unwrap();
    assert_eq!(
        cargo.rest,
        "cargo build --release --locked --package tidings --bin tidings"
    );
    let toolchain = fs::read_to_string(root("Cargo.toml")).unwrap();
    let version = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap();
    let from = format!("rust:{}-slim", version.trim_matches('"'));
    assert!(
        build[0].rest.starts_with(&from),
        "{} is not {from}",
        build[0].rest
    );
    // What is copied out of the build was made there, and nothing else is in the image.
    let made: String = build.iter().map(|step| step.rest.as_str()).collect();
    for copy in image.iter().filter(|step| step.name == "COPY") {
        assert!(copy.rest.starts_with("--from=build "), "{}", copy.rest);
        let source = copy.rest.split(' ').find(|word| word.starts_with("/out/"));
        if let Some(source) = source {
            assert!(made.contains(source), "{source} is made nowhere");
        }
    }
    assert!(
        !image
            .iter()
            .any(|step| step.name == "RUN" || step.name == "ADD")
    );
    let owner = &one(image, "USER").rest;
    let ids: Vec<u32> = owner.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{owner}");
    // The folder that the hub writes to belongs to that owner and outlives the container.
    let data = &one(image, "VOLUME").rest;
    let owned = format!("--chown={owner}");
    assert!(
        image
            .iter()
            .any(|step| step.rest.contains(&owned) && step.rest.ends_with(data))
    );
    let (name, value) = one(image, "ENV").rest.split_once('=').unwrap();
    assert_eq!((name, value), ("TIDINGS_DATA__DIR", data.as_str()));
}

#[test]
fn the_entry_point_serves_and_the_health_check_tells_the_truth() {
    let steps = dockerfile();
    let check = &one(&steps, "HEALTHCHECK").rest;
    let (_, check) = check.split_once("CMD ").unwrap();
    let check = words(check);
    assert_eq!(check[0], "tidings");
    let check: Vec<&str> = check.iter().skip(1).map(String::as_str).collect();
    // A port that is free now; the health check must know it, so it cannot be left to the system.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let mut environment = compose_environment();
    environment.push(("TIDINGS_LISTEN__0__ADDRESS".to_owned(), address));
    let environment: Vec<(&str, &str)> = borrowed(&environment);
    let (code, _, error) = run(&check, &environment);
    assert_eq!(code, 1, "nobody listens yet: {error}");
    let mut hub = TestHub::serve_by_environment(&environment);
    let (code, output, error) = run(&check, &environment);
    assert_eq!((code, output.as_str()), (0, "ready\n"), "{error}");
    assert!(hub.stop());
    assert_eq!(run(&check, &environment).0, 1);
}

#[test]
fn compose_starts_a_hub_that_publishes_and_subscribes() {
    let environment = compose_environment();
    let key = environment
        .iter()
        .find(|(name, _)| name.contains("PUBLISHER"))
        .unwrap()
        .1
        .clone();
    check_published_port(&environment, &compose_port());
    let mut environment = environment;
    environment.push((
        "TIDINGS_LISTEN__0__ADDRESS".to_owned(),
        "127.0.0.1:0".to_owned(),
    ));
    let hub = TestHub::serve_by_environment(&borrowed(&environment));
    let mut stream = hub.subscribe("match=https://example.com/books/1");
    let (code, token, error) = run(
        &[
            "token",
            "make",
            "--issuer",
            "https://localhost",
            "--audience",
            "http://localhost/.well-known/mercure",
            "--key",
            &key,
            "--publish",
            "*",
        ],
        &[],
    );
    assert_eq!(code, 0, "{error}");
    let form = [("topic", "https://example.com/books/1"), ("data", "sold")];
    assert_eq!(hub.publish_as(token.trim(), &form).status, 200);
    assert_eq!(stream.data(1), ["sold"]);
    let asked = Request::new("HEAD", &format!("{HUB_PATH}?match=a"))
        .header("Origin", "http://localhost:3000");
    let allowed = hub.request(asked);
    assert_eq!(
        allowed.header("Access-Control-Allow-Origin"),
        Some("http://localhost:3000")
    );
}

#[test]
fn the_articles_command_line_works_with_another_image_name() {
    let (environment, published, image) = docker_run_of_the_guide();
    assert_eq!(image, "tidings");
    assert_eq!(environment.len(), 5, "{environment:?}");
    check_published_port(&environment, &published);
    let key = environment[0].1.clone();
    let mut environment = environment;
    environment.push((
        "TIDINGS_LISTEN__0__ADDRESS".to_owned(),
        "127.0.0.1:0".to_owned(),
    ));
    let hub = TestHub::serve_by_environment(&borrowed(&environment));
    // The page: any origin, no token. The publisher: a token of then, made with the article's key.
    let topic = "http://localhost/score/1";
    let page = Request::get(&format!("/hub?topic={topic}")).header("Origin", "null");
    let mut stream = hub.subscribe_by(page);
    let claims = serde_json::json!({"mercure": {"publish": []}});
    let header = serde_json::json!({"alg": "HS256", "typ": "JWT"});
    let token = crate::harness::tokens::sign(&key, &header, &claims);
    let form = [("topic", topic), ("data", "{\"home\":1}")];
    let answer = hub.request(Request::post("/hub").http10().bearer(&token).form(&form));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let event = stream.event();
    assert_eq!(
        (event.data.as_str(), event.last_event_id),
        ("{\"home\":1}", answer.text())
    );
    // The demonstration is on, and the short key is for old tokens alone.
    assert_eq!(
        hub.request(Request::get("/demo/x.jsonld?body=1")).status,
        200
    );
    assert!(
        hub.log().contains("the secret has 28 bytes"),
        "{}",
        hub.log()
    );
}

/// Reads the `docker run` line of the guide: variables, published ports, image.
fn docker_run_of_the_guide() -> (Vec<(String, String)>, String, String) {
    let guide = fs::read_to_string(root("docs/guide/migrate-from-mercure.md")).unwrap();
    let (_, rest) = guide.split_once("```console\ndocker run ").unwrap();
    let (line, _) = rest.split_once("\n```").unwrap();
    let line = line.replace("\\\n", " ");
    let mut words = line.split_whitespace();
    let (mut environment, mut published, mut image) = (Vec::new(), String::new(), String::new());
    while let Some(word) = words.next() {
        match word {
            "-e" => {
                let (name, value) = words.next().unwrap().split_once('=').unwrap();
                environment.push((name.to_owned(), value.trim_matches('\'').to_owned()));
            }
            "-p" => published = words.next().unwrap().to_owned(),
            word => image = word.to_owned(),
        }
    }
    (environment, published, image)
}

/// Says whether a hub with this environment would listen on the container's side of `80:80`.
#[track_caller]
fn check_published_port(environment: &[(String, String)], published: &str) {
    let (_, inside) = published.split_once(':').expect("two ports");
    let (code, shown, error) = run(&["config", "show"], &borrowed(environment));
    assert_eq!(code, 0, "{error}");
    let listens = format!("address = \"[::]:{inside}\"");
    assert!(shown.contains(&listens), "{listens} is not in\n{shown}");
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Reads the `Dockerfile`: one step a line, a backslash continues it.
fn dockerfile() -> Vec<Step> {
    let text = fs::read_to_string(root("Dockerfile"))
        .unwrap()
        .replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let steps = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    steps
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            Step {
                name: name.to_owned(),
                rest: rest.trim().to_owned(),
            }
        })
        .collect()
}

#[track_caller]
fn one<'a>(steps: &'a [Step], name: &str) -> &'a Step {
    let mut found = steps.iter().filter(|step| step.name == name);
    let step = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "more than one {name}");
    step
}

/// Reads a JSON array of words, as `CMD` has it.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).expect("an array of words")
}

/// Reads the variables of the only service in `compose.yaml`, with the secret filled in.
fn compose_environment() -> Vec<(String, String)> {
    let text = fs::read_to_string(root("compose.yaml")).unwrap();
    let (_, block) = text.split_once("    environment:\n").unwrap();
    let mut variables: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(more) = line.strip_prefix("        ") {
            let last = variables.last_mut().expect("a block belongs to a name");
            last.1.push_str(more);
            last.1.push('\n');
        } else if let Some(variable) = line.strip_prefix("      ") {
            let (name, value) = variable.split_once(": ").unwrap();
            let value = match value.trim_matches('"') {
                "|" => String::new(),
                secret if secret.starts_with("${HUB_KEY:?") => "k".repeat(64),
                value => value.to_owned(),
            };
            variables.push((name.to_owned(), value));
        } else {
            break;
        }
    }
    assert!(variables.len() >= 4, "{variables:?}");
    variables
}

fn compose_port() -> String {
    let text = fs::read_to_string(root("compose.yaml")).unwrap();
    let (_, rest) = text.split_once("    ports:\n      - \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn root(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}
