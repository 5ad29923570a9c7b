//! A network between servers that a test can part: each way from one server to another is a proxy.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Bytes that are passed on at a time.
const PASSED_BYTES: usize = 16 * 1024;

/// Ways between servers. While one is cut, its connections stay open and nothing arrives, as if
/// packets were dropped: what was sent arrives once it is mended.
pub(crate) struct Links {
    all: Vec<Link>,
}

/// The way from one server to another.
struct Link {
    from: usize,
    to: usize,
    /// Where the first one finds the second one.
    port: u16,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Whole,
    Cut,
    /// The test is over.
    Over,
}

impl Links {
    /// Makes the ways between servers that listen on these ports.
    pub(crate) fn between(ports: &[u16]) -> Self {
        let mut all = Vec::new();
        for from in 0..ports.len() {
            for (to, port) in ports.iter().enumerate().filter(|(to, _)| *to != from) {
                all.push(Link::start(from, to, *port));
            }
        }
        Self { all }
    }

    /// Returns the ports where a server finds the others.
    pub(crate) fn from(&self, from: usize) -> impl Iterator<Item = u16> {
        let links = self.all.iter().filter(move |link| link.from == from);
        links.map(|link| link.port)
    }

    /// Cuts off a server from the others, in both directions.
    pub(crate) fn cut(&self, server: usize) {
        let links = self.all.iter();
        for link in links.filter(|link| [link.from, link.to].contains(&server)) {
            link.gate.turn(State::Cut);
        }
    }

    /// Mends all ways.
    pub(crate) fn mend(&self) {
        for link in &self.all {
            link.gate.turn(State::Whole);
        }
    }
}

impl Link {
    fn start(from: usize, to: usize, target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || accept(&listener, target, &shared));
        Self {
            from,
            to,
            port,
            gate,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.gate.turn(State::Over);
        // Wakes the listener up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Gate {
    fn turn(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    /// Waits until bytes may pass. Returns whether the test goes on.
    fn pass(&self) -> bool {
        let state = self.state.lock().unwrap();
        let is_cut = |state: &mut State| *state == State::Cut;
        *self.changed.wait_while(state, is_cut).unwrap() != State::Over
    }
}

fn accept(listener: &TcpListener, target: u16, gate: &Arc<Gate>) {
    while let Ok((near, _peer)) = listener.accept() {
        let gate = Arc::clone(gate);
        if *gate.state.lock().unwrap() == State::Over {
            return;
        }
        thread::spawn(move || {
            if !gate.pass() {
                return;
            }
            // The server may be down.
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else {
                return;
            };
            thread::scope(|scope| {
                scope.spawn(|| copy(&near, &far, &gate));
                copy(&far, &near, &gate);
            });
        });
    }
}

/// Passes on what comes until one side ends.
fn copy(mut source: &TcpStream, mut target: &TcpStream, gate: &Gate) {
    let mut buffer = vec![0; PASSED_BYTES];
    while let Ok(count @ 1..) = source.read(&mut buffer) {
        if !gate.pass() || target.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Whoever is at the other end may have ended it.
    for side in [source, target] {
        drop(side.shutdown(Shutdown::Both));
    }
}
