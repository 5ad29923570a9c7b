//! Restarts in a row under load: a process takes over from the one before it, while subscribers listen
//! and publishers publish. Nobody may be refused, and nothing lost or doubled.
//!
//! Subscribers come back when they were told to, with their cursor, as browsers do. Publishers keep
//! their connections for as long as they may.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, nanos, now_ns};
use crate::histogram::Histogram;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::poller::Poller;
use crate::process::allow_connections;
use crate::publisher::{Answer, Publisher};
use crate::report::Report;
use crate::soak::stream::{Incoming, Stream, StreamState};
use crate::target::{self, Target, Transport, escaped, exact};

/// What all updates are about.
const TOPIC: &str = "https://bench.example/restart";
/// When a subscriber comes back that was not told when.
const RETRY_MS: u64 = 3000;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest wait for sockets, so that processes and retries are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub, with the process that runs at first.
    pub target: target::Options,
    /// The program that takes over, and its arguments.
    pub next: Vec<String>,
    /// How often.
    pub restarts: usize,
    /// Time between the end of one process and the start of the next but one.
    pub pause: Duration,
    /// Event streams.
    pub subscribers: usize,
    /// Updates per second.
    pub rate: f64,
    /// Connections that publish.
    pub publishers: usize,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// How long to wait for something that does not come.
    pub settle: Duration,
}

/// Restarts the hub, and reports what its peers saw of it. The last process is stopped at the end.
///
/// # Errors
///
/// [`BenchError`], if there is nothing to report.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    allow_connections(options.subscribers + options.publishers)?;
    let mut run = Run::new(options)?;
    let result = run.all();
    run.processes.stop();
    result?;
    Ok(run.report())
}

struct Run<'a> {
    options: &'a Options,
    target: Target,
    poller: Poller,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Sender>,
    processes: Processes,
    /// The numbers of the updates, in the order in which the first that had them received them.
    order: Vec<u32>,
    next: u32,
    acknowledged: Vec<u32>,
    figures: Figures,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Figures {
    refused: u64,
    deliveries: u64,
    order_errors: u64,
    reconnects: u64,
    publish: Waits,
    delivery: Waits,
    away: Waits,
}

/// How long something took.
struct Waits(Histogram);

impl Default for Waits {
    fn default() -> Self {
        Self(Histogram::new())
    }
}

/// One event stream after the other.
struct Subscriber {
    stream: Option<Stream>,
    cursor: String,
    /// The updates that it had, in order.
    received: Vec<u32>,
    /// Since when it is without a stream, and when it comes back.
    away: Option<(u64, u64)>,
}

/// One publisher.
#[derive(Default)]
struct Sender {
    connection: Option<Publisher>,
    /// The update in flight, and when it was due.
    sending: Option<(u32, u64)>,
}

/// The processes of the hub.
struct Processes {
    next: Vec<String>,
    first: Option<u32>,
    children: Vec<Child>,
    left: usize,
    pause_ns: u64,
    /// When the next one starts; nothing while two run.
    start_at: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options) -> Result<Self, BenchError> {
        let now = now_ns();
        let target = Target::find(&options.target)?;
        let subscribers = (0..options.subscribers).map(|_| Subscriber {
            stream: None,
            cursor: "earliest".to_owned(),
            received: Vec::new(),
            away: Some((now, now)),
        });
        let publishers = (0..options.publishers).map(|_| Sender::default());
        Ok(Self {
            target,
            poller: Poller::new()?,
            subscribers: subscribers.collect(),
            publishers: publishers.collect(),
            processes: Processes {
                next: options.next.clone(),
                first: options.target.pid,
                children: Vec::new(),
                left: options.restarts,
                pause_ns: nanos(options.pause),
                start_at: None,
            },
            order: Vec::new(),
            next: 0,
            acknowledged: Vec::new(),
            figures: Figures::default(),
            buffer: vec![0; BUFFER_BYTES],
            options,
        })
    }

    fn all(&mut self) -> Result<(), BenchError> {
        let everybody = self.options.subscribers as u64;
        let opened = |run: &Self| {
            let open = |subscriber: &&Subscriber| {
                let stream = subscriber.stream.as_ref();
                stream.is_some_and(Stream::is_open)
            };
            run.subscribers.iter().filter(open).count() as u64
        };
        self.until("streams", opened, everybody)?;
        self.figures = Figures::default();
        let start = now_ns();
        self.processes.start_at = Some(start + self.processes.pause_ns);
        while !self.processes.are_done()? {
            self.publish_due(start)?;
            self.turn()?;
        }
        let sent = u64::from(self.next);
        let answered = |run: &Self| run.acknowledged.len() as u64 + run.figures.refused;
        self.until("acknowledgements", answered, sent)?;
        let wanted = self.acknowledged.len() as u64;
        let complete = |run: &Self| {
            let least = run.subscribers.iter().map(|one| one.received.len()).min();
            least.unwrap_or_default() as u64
        };
        // What does not come is counted as lost.
        match self.until("updates", complete, wanted) {
            Ok(()) | Err(BenchError::Stuck { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Serves sockets until a count is reached.
    fn until(
        &mut self,
        what: &'static str,
        count: impl Fn(&Self) -> u64,
        want: u64,
    ) -> Result<(), BenchError> {
        let (mut have, mut since) = (count(self), now_ns());
        while have < want {
            self.turn()?;
            let now = count(self);
            if now > have {
                (have, since) = (now, now_ns());
            } else if now_ns() - since > nanos(self.options.settle) {
                let secs = self.options.settle.as_secs();
                return Err(BenchError::Stuck {
                    what,
                    have,
                    want,
                    secs,
                });
            }
        }
        Ok(())
    }

    /// Serves the sockets that are ready, and brings back who is away.
    fn turn(&mut self) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        self.poller.wait(LOOK_EVERY, &mut ready)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        for number in ready {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            match number.checked_sub(self.options.subscribers) {
                None => self.read_stream(number, &mut buffer),
                Some(publisher) => self.read_answer(publisher, &mut buffer),
            }
        }
        self.buffer = buffer;
        self.bring_back()
    }

    fn bring_back(&mut self) -> Result<(), BenchError> {
        let now = now_ns();
        let query = exact(TOPIC);
        for (number, subscriber) in self.subscribers.iter_mut().enumerate() {
            let due = subscriber.away.is_some_and(|(_, until)| until <= now);
            if subscriber.stream.is_some() || !due {
                continue;
            }
            let query = format!("{query}&last_event_id={}", escaped(&subscriber.cursor));
            let request = self
                .target
                .subscription(Transport::EventStream, &query, None);
            let opened = Link::open(&self.target, number, Protocol::Http1)
                .and_then(|mut link| link.send(&request).map(|()| link));
            match opened {
                Ok(link) => {
                    self.poller.add(&link, number as u64)?;
                    subscriber.stream = Some(Stream::new(link));
                }
                // A connection that is refused is what must not happen.
                Err(_) => {
                    self.figures.refused += 1;
                    subscriber.comes_back_in(RETRY_MS, now);
                }
            }
        }
        Ok(())
    }

    fn read_stream(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(subscriber) = self.subscribers.get_mut(number) else {
            return;
        };
        let Some(mut stream) = subscriber.stream.take() else {
            return;
        };
        let now = now_ns();
        let (figures, order) = (&mut self.figures, &mut self.order);
        let standing = stream.on_readable(buffer, |brought| match brought {
            Incoming::Opened { .. } => {
                if let Some((since, _)) = subscriber.away.take() {
                    figures.reconnects += 1;
                    figures.away.0.record(now - since);
                }
            }
            Incoming::Event(event) => {
                subscriber.cursor.clone_from(&event.id);
                let Some(mark) = Mark::read(&event.data) else {
                    figures.order_errors += 1;
                    return;
                };
                figures.deliveries += 1;
                figures.delivery.0.record(now.saturating_sub(mark.due_ns));
                match order.get(subscriber.received.len()) {
                    Some(&expected) if expected == mark.number => {}
                    Some(_) => figures.order_errors += 1,
                    None => order.push(mark.number),
                }
                subscriber.received.push(mark.number);
            }
        });
        match standing {
            StreamState::Open => subscriber.stream = Some(stream),
            StreamState::Ended => {
                subscriber.comes_back_in(stream.retry_ms().unwrap_or(RETRY_MS), now)
            }
            StreamState::Refused(_) | StreamState::Garbled => {
                figures.refused += 1;
                subscriber.comes_back_in(RETRY_MS, now);
            }
        }
    }

    /// Sends the updates that are due, as far as there are publishers.
    fn publish_due(&mut self, start: u64) -> Result<(), BenchError> {
        let now = now_ns();
        for (number, sender) in self.publishers.iter_mut().enumerate() {
            let after = Duration::from_secs_f64(f64::from(self.next) / self.options.rate);
            let due_ns = start + nanos(after);
            if due_ns > now {
                return Ok(());
            }
            if sender.sending.is_some() {
                continue;
            }
            let mark = Mark {
                topic: 0,
                number: self.next,
                due_ns,
            };
            self.next += 1;
            let mut body = format!("topic={}&data=", escaped(TOPIC)).into_bytes();
            mark.write(&mut body, self.options.data_bytes);
            let request = self.target.publication(&body);
            let number = self.options.subscribers + number;
            match sender.send(&self.target, &self.poller, number, &request, now)? {
                true => sender.sending = Some((mark.number, due_ns)),
                false => self.figures.refused += 1,
            }
        }
        Ok(())
    }

    fn read_answer(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(sender) = self.publishers.get_mut(number) else {
            return;
        };
        let Some(publisher) = &mut sender.connection else {
            return;
        };
        match publisher.on_readable(buffer) {
            Ok(Answer::Incomplete) => {}
            Ok(Answer::Closed) => sender.connection = None,
            Ok(Answer::Acknowledged(answer)) => {
                if answer.is_last {
                    sender.connection = None;
                }
                if let Some((update, due_ns)) = sender.sending.take() {
                    self.acknowledged.push(update);
                    self.figures.publish.0.record(now_ns() - due_ns);
                }
            }
            Err(_) => {
                sender.connection = None;
                if sender.sending.take().is_some() {
                    self.figures.refused += 1;
                }
            }
        }
    }

    fn report(&self) -> Report {
        let Options {
            subscribers,
            rate,
            restarts,
            ..
        } = self.options;
        let mut report = Report::new(format!(
            "{restarts} restarts, {subscribers} subscribers, {rate} updates/s"
        ));
        let (mut lost, mut duplicates) = (0, 0);
        for subscriber in &self.subscribers {
            let mut received = subscriber.received.clone();
            received.sort_unstable();
            let before = received.len();
            received.dedup();
            duplicates += before - received.len();
            let has = |number: &&u32| received.binary_search(number).is_ok();
            lost += self.acknowledged.len() - self.acknowledged.iter().filter(has).count();
        }
        let figures = &self.figures;
        report.add("published", f64::from(self.next), "");
        report.add("acknowledged", as_f64(self.acknowledged.len() as u64), "");
        report.add("refused", as_f64(figures.refused), "");
        report.add("lost", as_f64(lost as u64), "");
        report.add("duplicates", as_f64(duplicates as u64), "");
        report.add("order_errors", as_f64(figures.order_errors), "");
        report.add("deliveries", as_f64(figures.deliveries), "");
        report.add("reconnects", as_f64(figures.reconnects), "");
        for (name, Waits(waits)) in [
            ("publish", &figures.publish),
            ("delivery", &figures.delivery),
            ("away", &figures.away),
        ] {
            report.add(format!("{name}_p50"), as_ms(waits.quantile(0.5)), "ms");
            report.add(format!("{name}_p99"), as_ms(waits.quantile(0.99)), "ms");
            report.add(format!("{name}_max"), as_ms(waits.max()), "ms");
        }
        report
    }
}

impl Subscriber {
    fn comes_back_in(&mut self, ms: u64, now: u64) {
        let since = self.away.map_or(now, |(since, _)| since);
        self.away = Some((since, now + ms * 1_000_000));
    }
}

impl Sender {
    /// Sends an update. Returns whether the hub took the bytes.
    fn send(
        &mut self,
        target: &Target,
        poller: &Poller,
        number: usize,
        request: &[u8],
        now: u64,
    ) -> Result<bool, BenchError> {
        let mut publisher = match self.connection.take() {
            Some(publisher) => publisher,
            None => match Link::open(target, number, Protocol::Http1) {
                Ok(link) => {
                    poller.add(&link, number as u64)?;
                    Publisher::new(link)
                }
                Err(_) => return Ok(false),
            },
        };
        let sent = publisher.send(request, now).is_ok();
        if sent {
            self.connection = Some(publisher);
        }
        Ok(sent)
    }
}

impl Processes {
    /// Starts the next process when it is time. Returns whether all have had their turn, and the last
    /// but one has ended.
    fn are_done(&mut self) -> Result<bool, BenchError> {
        let now = now_ns();
        match self.start_at {
            Some(at) if at > now => {}
            Some(_) if self.left == 0 => return Ok(true),
            Some(_) => {
                self.start()?;
                self.start_at = None;
            }
            None => {
                if self.is_one_gone() {
                    self.start_at = Some(now + self.pause_ns);
                }
            }
        }
        Ok(false)
    }

    fn start(&mut self) -> Result<(), BenchError> {
        self.left -= 1;
        let (program, arguments) = self.next.split_first().ok_or(BenchError::Option {
            option: "COMMAND",
            reason: "name the program that takes over",
        })?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let child = child.map_err(|source| BenchError::System {
            call: "starting the next process",
            source,
        })?;
        self.children.push(child);
        Ok(())
    }

    /// Says whether the oldest process has ended, and forgets it then.
    fn is_one_gone(&mut self) -> bool {
        if let Some(first) = self.first {
            let gone = has_ended(first);
            if gone {
                self.first = None;
            }
            return gone;
        }
        let Some(oldest) = self.children.first_mut() else {
            return true;
        };
        let gone = !matches!(oldest.try_wait(), Ok(None));
        if gone {
            drop(self.children.remove(0).wait());
        }
        gone
    }

    /// Stops what runs, as a service manager would.
    fn stop(&mut self) {
        for child in &mut self.children {
            let pid = i32::try_from(child.id()).ok();
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                // One that has ended needs no signal.
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
            drop(child.wait());
        }
    }
}

/// Says whether a process has ended, whether its parent has taken note of it or not.
fn has_ended(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    let Ok(text) = std::fs::read_to_string(stat) else {
        return true;
    };
    // The state follows the name, which is in brackets.
    let state = text
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X'))
}
