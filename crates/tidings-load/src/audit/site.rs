//! The cluster: an engine, hubs, and the wires between them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::presence;
use super::wire::Wire;
use super::{Options, TOPIC};
use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::engine::{self, Engine, file, free_port, make};
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::part::Part;
use crate::soak::stream::{Incoming, Stream, StreamState};
use crate::target::{self, Target, Transport, exact};

/// Signs the tokens for hubs that only this machine can reach, for the minutes of one run.
const KEY: &str = "the-key-of-hubs-that-only-this-machine-reaches";
const ISSUER: &str = "urn:tidings:bench";
const PUBLIC_URL: &str = "http://localhost/.well-known/mercure";
/// Between two looks at a hub that is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest time that a hub may take to say whether it is ready.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Site {
    pub(super) engine: Engine,
    pub(super) hubs: Vec<Part>,
    /// Those of each hub, one to each server of the engine.
    pub(super) wires: Vec<Vec<Wire>>,
    targets: Vec<Target>,
    /// Publishes everything, and reads every list.
    token: String,
}

/// The updates that one hub has, in its order.
pub(super) type Line = Vec<Entry>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) id: String,
}

impl Site {
    /// Starts everything.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if there is no port, or a program cannot be started.
    pub(super) fn start(options: &Options) -> Result<Self, BenchError> {
        let mut engine = Engine::start(&engine::Options {
            kind: options.engine,
            program: options.engine_program.clone(),
            folder: options.folder.clone(),
        })?;
        let token = token(&options.program)?;
        let (mut hubs, mut wires, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..options.hubs {
            let own = engine.ports().iter().map(|port| Wire::start(*port));
            let own: Vec<Wire> = own
                .collect::<Result<_, _>>()
                .map_err(system("starting a wire"))?;
            let port = free_port()?;
            let config = config(options, number, port, &own)?;
            if number == 0 {
                engine.prepare(&options.program, &config, options.settle)?;
            }
            let mut hub = hub(options, number, &config);
            hub.start()?;
            targets.push(Target::find(&target::Options {
                hub: format!("http://127.0.0.1:{port}/.well-known/mercure"),
                publish_to: None,
                transport: Transport::EventStream,
                publisher_token: Some(token.clone()),
                subscriber_token: None,
                ca: None,
                pid: None,
                source_addresses: 1,
            })?);
            hubs.push(hub);
            wires.push(own);
        }
        Ok(Self {
            engine,
            hubs,
            wires,
            targets,
            token,
        })
    }

    /// Returns how to reach the hubs.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Waits until every hub says that it is ready.
    ///
    /// # Errors
    ///
    /// [`BenchError::Stuck`] if one does not within `most`, or has ended.
    pub(super) fn wait_until_ready(&mut self, most: Duration) -> Result<(), BenchError> {
        let end = now_ns() + nanos(most);
        loop {
            let ready = self
                .targets
                .iter()
                .filter(|target| is_ready(target))
                .count();
            if ready == self.targets.len() {
                return Ok(());
            }
            let failed = self.hubs.iter_mut().any(Part::has_failed) || self.engine.has_failed();
            if failed || now_ns() > end {
                return Err(BenchError::Stuck {
                    what: "hubs that are ready; their logs say why they are not",
                    have: ready as u64,
                    want: self.targets.len() as u64,
                    secs: most.as_secs(),
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns how many subscriptions the hubs list wrongly, of subscribers that are all connected. Waits for `most` for
    /// each hub until there are none.
    pub(super) fn listed_wrong(&self, subscribers: usize, most: Duration) -> usize {
        let wrong = |target| presence::wrong(target, &self.token, subscribers, most);
        self.targets.iter().map(wrong).sum()
    }

    /// Reads the whole history of each hub, until it has `updates` different updates.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if a hub cannot be reached. One that does not have them within `most` is no
    /// error: its line is shorter.
    pub(super) fn lines(&self, updates: usize, most: Duration) -> Result<Vec<Line>, BenchError> {
        self.targets
            .iter()
            .map(|target| line(target, updates, most))
            .collect()
    }
}

fn line(target: &Target, updates: usize, most: Duration) -> Result<Line, BenchError> {
    let query = format!("{}&last_event_id=earliest", exact(TOPIC));
    let request = target.subscription(Transport::EventStream, &query, None);
    let opened = Link::open(target, 0, Protocol::Http1)
        .and_then(|mut link| link.send(&request).map(|()| link));
    let mut stream = Stream::new(opened.map_err(BenchError::Connection)?);
    let (mut line, mut numbers) = (Line::new(), BTreeSet::new());
    let mut buffer = vec![0; super::BUFFER_BYTES];
    let end = now_ns() + nanos(most);
    while numbers.len() < updates && now_ns() < end {
        let state = stream.on_readable(&mut buffer, |brought| {
            let Incoming::Event(event) = brought else {
                return;
            };
            if let Some(mark) = Mark::read(&event.data) {
                numbers.insert(mark.number);
                line.push(Entry {
                    number: mark.number,
                    id: event.id.clone(),
                });
            }
        });
        if state != StreamState::Open {
            return Err(BenchError::Connection(crate::subscriber::ended()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(line)
}

fn is_ready(target: &Target) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&target.address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Writes the configuration of a hub, and returns its file.
fn config(
    options: &Options,
    number: usize,
    port: u16,
    wires: &[Wire],
) -> Result<PathBuf, BenchError> {
    let folder = make(&options.folder.join(format!("hub{number}")))?;
    let config = folder.join("tidings.toml");
    let ports: Vec<u16> = wires.iter().map(Wire::port).collect();
    let text = format!(
        "[hub]\npublic_url = \"{PUBLIC_URL}\"\n[[listen]]\naddress = \"127.0.0.1:{port}\"\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{KEY}\"\n[subscribe]\nanonymous = true\n\
         [presence]\nenabled = true\n[data]\ndir = \"{}\"\n[cluster]\nname = \"audit\"\n\
         node = \"hub{number}\"\n{}",
        folder.join("data").display(),
        options.engine.settings(&ports),
    );
    fs::write(&config, text).map_err(file(&config))?;
    Ok(config)
}

fn hub(options: &Options, number: usize, config: &Path) -> Part {
    let log = options.folder.join(format!("hub{number}.log"));
    let command = |program: &Path| {
        let words = [program.display().to_string(), "serve".to_owned()];
        let config = ["--config".to_owned(), config.display().to_string()];
        words.into_iter().chain(config).collect()
    };
    match &options.upgrade_from {
        None => Part::new(command(&options.program), log),
        Some(older) => Part::new(command(older), log).then(command(&options.program)),
    }
}

fn token(program: &Path) -> Result<String, BenchError> {
    let output = Command::new(program)
        .args(["token", "make", "--issuer", ISSUER, "--key", KEY])
        .args([
            "--audience",
            PUBLIC_URL,
            "--publish",
            "*",
            "--subscribe",
            "*",
            "--ttl",
            "24h",
        ])
        .output()
        .map_err(system("running the hub's program"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn system(call: &'static str) -> impl FnOnce(std::io::Error) -> BenchError {
    move |source| BenchError::System { call, source }
}
