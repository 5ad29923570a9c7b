//! A hub of a simulated cluster: a whole hub, its member, and its calls on their way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tidings_cluster::engine::{
    Appended, BootId, ByPath, EngineError, EpochId, Item, NodeId, Origin, Path, Sender, State,
};
use tidings_cluster::host::{Clustered, Host, Inbox, Wanted};
use tidings_cluster::member::request::{Input, Reply, Request};
use tidings_cluster::member::{Membership, Options};
use tidings_cluster::page::{self, Page};
use tidings_cluster::peers::{Fetch, PeerError};
use tidings_cluster::{Cause, Epoch, History, RelayError};
use tidings_core::update::Update;
use tidings_history::{Order, PresenceRetention, Reading, Retention};
use tidings_hub::control::{Handler, Message, Operators};
use tokio::runtime::Builder;

use super::model::{Model, ServerId, in_doubt};
use crate::disk::Disk;
use crate::lab::{self, Lab};

/// A hub and everything around it that outlives a crash.
pub struct Hub {
    /// Its disk.
    pub disk: Disk,
    /// The hub, while it runs.
    pub running: Option<Running>,
    node: NodeId,
    boots: u64,
    /// What its handler was told since it started.
    pub told: Told,
    /// Calls of connections that were given up, which may arrive all the same.
    late: VecDeque<(ServerId, Request)>,
}

/// What the handler of a hub was told.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<Message>>>);

impl Told {
    /// Returns whether it was told this.
    pub fn has(&self, message: &Message) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.contains(message)
    }
}

impl Handler for Told {
    fn on_message(&mut self, message: Message, _update: &Update) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(message);
    }
}

/// A hub that runs.
pub struct Running {
    /// The hub.
    pub lab: Lab,
    /// Its member.
    pub host: Host,
    inbox: Arc<Inbox>,
    history: Arc<dyn History>,
    /// A question to another hub that was not passed on yet.
    fetch: Option<Fetch>,
    calls: ByPath<Option<Call>>,
    connections: ByPath<Option<ServerId>>,
}

/// A call and where it is.
enum Call {
    Sent(Request),
    Answered(Result<Reply, EngineError>),
}

impl Hub {
    /// Makes a hub that does not run.
    pub fn new(node: u64, epoch: Epoch) -> Self {
        Self {
            disk: Disk::new(Order::Relay(epoch)),
            running: None,
            node: NodeId::new(node),
            boots: 0,
            told: Told::default(),
            late: VecDeque::new(),
        }
    }

    /// Starts it. With `fetches`, it can ask other hubs for updates.
    ///
    /// # Panics
    ///
    /// If the hub does not start.
    pub fn start(&mut self, secret: Epoch, epoch: EpochId, now: Duration, fetches: bool) {
        self.boots += 1;
        let options = Options {
            me: Sender {
                node: self.node,
                boot: BootId::new(self.boots),
            },
            wait_max: Duration::from_secs(10),
            waiting_max: 1000,
            waiting_bytes_max: 1024 * 1024,
            membership: Membership {
                address: Some(self.address().into()),
                fetches,
                ..Membership::default()
            },
        };
        let inbox = Inbox::new(1000, Box::new(|| {}));
        let given: Arc<Mutex<Option<Arc<dyn History>>>> = Arc::default();
        let relay = {
            let given = Arc::clone(&given);
            let start = Box::new(move |history| {
                *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
                Box::new(|| {}) as Box<dyn FnOnce() + Send>
            });
            Arc::new(Clustered::new(secret, Arc::clone(&inbox), start))
        };
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true);
        #[expect(clippy::expect_used, reason = "a simulation without a runtime is over")]
        let runtime = lab::runtime(&mut builder).expect("a runtime");
        let lab_options = lab::Options {
            shards: 1,
            ring_bytes: 16 * 1024,
            retention: Retention {
                age_max: None,
                updates_max: None,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            keep_alive: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            presence: true,
        };
        #[expect(clippy::expect_used, reason = "reading the simulated disk never fails")]
        let mut lab = Lab::start(runtime, self.disk.storage(), &lab_options, relay).expect("a hub");
        self.told = Told::default();
        let operators = Operators::new(self.told.clone(), lab.stored_messages());
        lab.listen(Box::new(operators));
        let history = given.lock().unwrap_or_else(PoisonError::into_inner).take();
        #[expect(clippy::expect_used, reason = "the lab has started the relay")]
        let history = history.expect("a history");
        let line = (secret, epoch);
        self.running = Some(Running {
            lab,
            host: Host::new(options, Arc::clone(&history), Arc::clone(&inbox), line, now),
            inbox,
            history,
            fetch: None,
            calls: ByPath::default(),
            connections: ByPath::default(),
        });
    }

    /// Returns where other hubs reach it.
    pub fn address(&self) -> String {
        format!("http://hub-{}", self.node.get())
    }

    /// Ends it at once. Calls that were sent may still arrive.
    pub fn crash(&mut self, late: bool) {
        if let Some(running) = self.running.take() {
            for path in Path::ALL {
                self.late.extend(running.sent(path).filter(|_| late));
            }
        }
    }

    /// Lets its member do what there is to do, and sends what it wants.
    pub fn work(&mut self, now: Duration, primary: ServerId, late: bool) {
        let Some(running) = &mut self.running else {
            return;
        };
        for wanted in running.host.work(now) {
            match wanted {
                Wanted::Reset(path) => {
                    self.late.extend(running.sent(path).filter(|_| late));
                    *running.calls.of_mut(path) = None;
                    *running.connections.of_mut(path) = None;
                }
                Wanted::Fetch(fetch) => running.fetch = Some(fetch),
                Wanted::Call(request) => {
                    let path = request.path();
                    running.connections.of_mut(path).get_or_insert(primary);
                    *running.calls.of_mut(path) = Some(Call::Sent(request));
                }
            }
        }
    }

    /// Lets one of its calls go on: to the engine, or the answer back. `lossy` calls lose their
    /// answer now and then; with `late` they may arrive later than calls that were sent after them.
    /// Returns what the log says of it.
    pub fn transmit(
        &mut self,
        model: &mut Model,
        dice: &mut Rng,
        (lossy, late): (bool, bool),
    ) -> Vec<String> {
        let mut log = Vec::new();
        if dice.u8(0..8) == 0
            && let Some((server, request)) = self.late.pop_front()
        {
            // Nobody waits for the answer. It was let in before a bound was lowered.
            let bound = model.item_bytes_max.take();
            let answer = model.answer(server, &request, dice);
            model.item_bytes_max = bound;
            log.extend(told("late", server, &request, answer.as_ref()));
        }
        let Some(running) = &mut self.running else {
            return log;
        };
        let Some(path) = dice.choice(Path::ALL) else {
            return log;
        };
        match running.calls.of_mut(path).take() {
            None => {}
            Some(Call::Answered(result)) => {
                if result.is_err() {
                    *running.connections.of_mut(path) = None;
                }
                running.inbox.push(Input::Reply(path, result));
            }
            Some(Call::Sent(request)) => {
                let server = running.connections.of(path).unwrap_or(model.primary());
                if lossy && dice.u8(0..24) == 0 {
                    // The connection breaks: before the engine had the call, after, or while it is
                    // on its way.
                    match dice.u8(0..3) {
                        0 => {}
                        1 => {
                            let answer = model.answer(server, &request, dice);
                            log.extend(told("unheard", server, &request, answer.as_ref()));
                        }
                        _ if late => self.late.push_back((server, request)),
                        _ => {}
                    }
                    *running.calls.of_mut(path) = Some(Call::Answered(Err(in_doubt())));
                    return log;
                }
                let answered = model.answer(server, &request, dice);
                log.extend(told("", server, &request, answered.as_ref()));
                *running.calls.of_mut(path) = Some(match answered {
                    Some(result) => Call::Answered(result),
                    None => Call::Sent(request),
                });
            }
        }
        log
    }

    /// Forgets the calls that were given up: nothing arrives late any more.
    pub fn forget_late(&mut self) {
        self.late.clear();
    }
}

fn unreachable(cause: Cause) -> PeerError {
    PeerError::Unreachable { cause }
}

/// Returns what the log says of a call that changes the line or asks for its end.
fn told(
    how: &str,
    server: ServerId,
    request: &Request,
    answer: Option<&Result<Reply, EngineError>>,
) -> Option<String> {
    let what = match request {
        Request::Append(append) => {
            let origin = |item: &Item| {
                let Origin {
                    sender,
                    batch,
                    index,
                } = item.origin;
                let (node, boot) = (sender.node.get(), sender.boot.get());
                format!("{node}.{boot}.{batch}.{index}")
            };
            let origins: Vec<String> = append.items.iter().map(origin).collect();
            let (batch, seen) = (append.batch, append.seen.position);
            format!("append {batch} after {seen}: {}", origins.join(" "))
        }
        Request::Restore(restore) => {
            let first = restore.entries.first().map(|entry| entry.entry.position);
            format!("restore {} from {first:?}", restore.entries.len())
        }
        Request::State | Request::Repair(_) | Request::Bump(..) | Request::Init(_) => {
            format!("{request:?}")
        }
        Request::Tail { .. } | Request::Range { .. } | Request::Lease(_) | Request::Leases => {
            return None;
        }
        Request::Claim { dead, .. } => format!("claim {}.{}", dead.node.get(), dead.boot.get()),
    };
    let answer = match answer {
        Some(Ok(Reply::State(State::Line(line)))) => format!("ends at {}", line.last),
        Some(Ok(Reply::Appended(Appended::Taken {
            places,
            last,
            again,
        }))) => {
            format!("{places:?} {last} again={again:?}")
        }
        Some(Ok(reply)) => format!("{reply:?}"),
        Some(Err(error)) => error.to_string(),
        None => return None,
    };
    Some(format!("{how} {what} at {server} -> {answer}"))
}

impl Running {
    /// Takes its question to another hub.
    pub fn take_fetch(&mut self) -> Option<Fetch> {
        self.fetch.take()
    }

    /// Answers a question of `asking`, when this hub's reader has worked.
    pub fn answer(&self, fetch: &Fetch, asking: &Self) {
        let (inbox, ticket) = (Arc::clone(&asking.inbox), fetch.ticket);
        let done = Box::new(move |page: Result<Page, RelayError>| {
            let page = page.map_err(|error| unreachable(Arc::new(error)));
            let page = page.and_then(|page| Ok(Page::decode(&page.encode())?));
            inbox.push(Input::Fetched(ticket, page));
        });
        if let Err(error) = page::answer(&*self.history, fetch.ask, done) {
            asking.lose(fetch, Arc::new(error));
        }
    }

    /// Tells this hub that its question has no answer.
    pub fn lose(&self, fetch: &Fetch, cause: Cause) {
        let answer = Err(unreachable(cause));
        self.inbox.push(Input::Fetched(fetch.ticket, answer));
    }

    /// Takes the call of a path that the engine may not have yet.
    fn sent(&self, path: Path) -> Option<(ServerId, Request)> {
        let server = (*self.connections.of(path))?;
        match self.calls.of(path) {
            Some(Call::Sent(request)) => Some((server, request.clone())),
            Some(Call::Answered(_)) | None => None,
        }
    }

    /// Lets the hub's own threads work.
    pub fn turn(&mut self, dice: &mut Rng, now: Reading) {
        match dice.u8(0..5) {
            0 => drop(self.lab.write(dice.usize(1..20), now)),
            1 => drop(self.lab.read()),
            2 => self.lab.route(dice.usize(0..10)),
            3 => self.lab.run_until_idle(),
            _ => self.lab.tick(now),
        }
    }
}
