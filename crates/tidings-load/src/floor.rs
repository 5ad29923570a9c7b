//! The baseline: the cost of a bare `send()` of the same bytes to as many loopback sockets, on the
//! server's processor. No hub can push single updates for less, so the hub's figure is given as a
//! ratio to this one, measured in the same run: machines differ, and so does their load.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, nanos, now_ns};
use crate::histogram::Histogram;
use crate::poller::Poller;
use crate::process::{allow_connections, own_processor, own_thread_cpu_ns, run_on};
use crate::progress;
use crate::report::Report;

/// Rounds before measuring starts: fresh connections acknowledge every segment at once.
const WARM_UP_ROUNDS: u32 = 20;
/// The maximum duration of a round.
const ROUND_MAX: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sockets to send to.
    pub sockets: usize,
    /// Bytes of one send.
    pub bytes: usize,
    /// Sweeps over all sockets.
    pub rounds: u32,
    /// Sweeps per second. A sweep never begins before the previous one has arrived.
    pub rate: Option<f64>,
    /// Processor of the sender.
    pub sender: usize,
}

/// Measures twice, with a reader that waits for every byte and with one that does not, and reports.
///
/// # Errors
///
/// [`BenchError::OpenFiles`] if the process may not open enough files, [`BenchError::System`] if it
/// may not use a processor.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Options {
        sockets,
        bytes,
        rounds,
        rate,
        sender,
    } = *options;
    let mut report = Report::new(format!("floor: {sockets} sockets, {bytes} bytes a send"));
    let mut floor = Floor::open(sockets, sender)?;
    let active = floor.measure(bytes, rounds, rate.map(interval))?;
    active.report(&mut report, "floor");
    let idle = floor.measure_idle_reader(bytes, rounds.min(50))?;
    report.add("idle_reader_cpu_per_send", idle / 1e3, "µs");
    Ok(report)
}

/// Returns the interval between events at this rate per second.
pub(crate) fn interval(per_second: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX)
}

/// Pairs of connected sockets.
#[derive(Debug)]
pub(crate) struct Floor {
    near: Vec<TcpStream>,
    far: Vec<TcpStream>,
    sender: usize,
    reader: usize,
    warm: bool,
}

/// The measured cost.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// CPU time of one send in nanoseconds.
    pub(crate) cpu_ns: f64,
    /// Sends per second of wall time.
    pub(crate) per_second: f64,
    /// From the first send of a sweep to its last arrival.
    pub(crate) sweep: Histogram,
}

impl Cost {
    fn report(&self, report: &mut Report, name: &str) {
        report.add(format!("{name}_cpu_per_send"), self.cpu_ns / 1e3, "µs");
        report.add(format!("{name}_sends_per_second"), self.per_second, "/s");
        report.add(
            format!("{name}_sweep_p50"),
            as_ms(self.sweep.quantile(0.5)),
            "ms",
        );
        report.add(format!("{name}_sweep_max"), as_ms(self.sweep.max()), "ms");
    }
}

impl Floor {
    /// Connects `sockets` pairs. The sender will run on processor `sender`, the reader on our own.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if the process may not open enough files.
    pub(crate) fn open(sockets: usize, sender: usize) -> Result<Self, BenchError> {
        allow_connections(2 * sockets)?;
        let wrong = |number| move |source| BenchError::Connect { number, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(wrong(0))?;
        let address = listener.local_addr().map_err(wrong(0))?;
        let pair = || -> io::Result<(TcpStream, TcpStream)> {
            let far = TcpStream::connect(address)?;
            let (near, _) = listener.accept()?;
            near.set_nodelay(true)?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            Ok((near, far))
        };
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for number in 0..sockets {
            let (one, other) = pair().map_err(wrong(number))?;
            near.push(one);
            far.push(other);
        }
        Ok(Self {
            near,
            far,
            sender,
            reader: own_processor()?,
            warm: false,
        })
    }

    /// Sweeps over the sockets while a reader on the other processor waits for the bytes. The next
    /// sweep begins when all have arrived, or at its due time if there is an interval.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if a processor may not be used or a socket fails.
    pub(crate) fn measure(
        &mut self,
        bytes: usize,
        rounds: u32,
        interval: Option<Duration>,
    ) -> Result<Cost, BenchError> {
        let arrived = Arrived::default();
        let arrived = &arrived;
        let (near, far, sender, reader) = (&self.near, &self.far, self.sender, self.reader);
        let warm_up = if self.warm { 0 } else { WARM_UP_ROUNDS };
        self.warm = true;
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                run_on(reader)?;
                read_all(far, arrived)
            });
            let sending = scope.spawn(move || {
                run_on(sender)?;
                Sweeps {
                    near,
                    bytes,
                    arrived,
                }
                .run(warm_up, rounds, interval)
            });
            *lock(&arrived.sender) = Some(sending.thread().clone());
            let cost = joined(sending.join());
            arrived.over.store(1, Ordering::Release);
            joined(reading.join())?;
            cost
        })
    }

    /// Returns the CPU nanoseconds of one send when nobody waits for the bytes.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if a processor may not be used or a socket fails.
    pub(crate) fn measure_idle_reader(&self, bytes: usize, rounds: u32) -> Result<f64, BenchError> {
        let (near, far, sender) = (&self.near, &self.far, self.sender);
        std::thread::scope(|scope| {
            let measuring = scope.spawn(move || -> Result<f64, BenchError> {
                run_on(sender)?;
                let data = vec![b'x'; bytes];
                let mut buffer = vec![0; 1 << 20];
                let mut cpu = 0;
                for _ in 0..rounds {
                    let before = own_thread_cpu_ns();
                    near.iter().try_for_each(|socket| send(socket, &data))?;
                    cpu += own_thread_cpu_ns() - before;
                    far.iter()
                        .try_for_each(|socket| drain(socket, &mut buffer).map(|_| ()))?;
                }
                Ok(as_f64(cpu) / (f64::from(rounds) * as_f64(near.len() as u64)))
            });
            joined(measuring.join())
        })
    }
}

/// The state that the two threads share.
#[derive(Debug, Default)]
struct Arrived {
    bytes: AtomicU64,
    wanted: AtomicU64,
    over: AtomicU64,
    sender: std::sync::Mutex<Option<Thread>>,
}

struct Sweeps<'a> {
    near: &'a [TcpStream],
    bytes: usize,
    arrived: &'a Arrived,
}

impl Sweeps<'_> {
    fn run(
        &self,
        warm_up: u32,
        rounds: u32,
        interval: Option<Duration>,
    ) -> Result<Cost, BenchError> {
        let data = vec![b'x'; self.bytes];
        let bar = progress::bar("floor", u64::from(rounds));
        for _ in 0..warm_up {
            self.sweep(&data)?;
        }
        let (mut cpu, mut wall) = (own_thread_cpu_ns(), now_ns());
        let mut sweep = Histogram::new();
        let mut due = wall;
        for _ in 0..rounds {
            if let Some(interval) = interval {
                due += nanos(interval);
                std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
            }
            let begin = now_ns();
            self.sweep(&data)?;
            sweep.record(now_ns() - begin);
            bar.inc(1);
        }
        cpu = own_thread_cpu_ns() - cpu;
        wall = now_ns() - wall;
        bar.finish_and_clear();
        let sends = f64::from(rounds) * as_f64(self.near.len() as u64);
        Ok(Cost {
            cpu_ns: as_f64(cpu) / sends,
            per_second: sends * 1e9 / as_f64(wall),
            sweep,
        })
    }

    fn sweep(&self, data: &[u8]) -> Result<(), BenchError> {
        let more = (self.near.len() * self.bytes) as u64;
        let wanted = self.arrived.bytes.load(Ordering::Acquire) + more;
        self.arrived.wanted.store(wanted, Ordering::Release);
        self.near.iter().try_for_each(|socket| send(socket, data))?;
        let begin = now_ns();
        while self.arrived.bytes.load(Ordering::Acquire) < wanted {
            std::thread::park_timeout(Duration::from_millis(20));
            if now_ns() - begin > nanos(ROUND_MAX) {
                return Err(BenchError::Stuck {
                    what: "bytes of the floor",
                    have: self.arrived.bytes.load(Ordering::Acquire),
                    want: wanted,
                    secs: ROUND_MAX.as_secs(),
                });
            }
        }
        Ok(())
    }
}

fn read_all(far: &[TcpStream], arrived: &Arrived) -> Result<(), BenchError> {
    let mut poller = Poller::new()?;
    for (number, socket) in far.iter().enumerate() {
        poller.add(socket, number as u64)?;
    }
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 256 * 1024]);
    while arrived.over.load(Ordering::Acquire) == 0 {
        poller.wait(Duration::from_millis(20), &mut ready)?;
        let mut count = 0;
        for number in &ready {
            let socket = usize::try_from(*number)
                .ok()
                .and_then(|number| far.get(number));
            if let Some(socket) = socket {
                count += drain(socket, &mut buffer)?;
            }
        }
        let before = arrived.bytes.fetch_add(count, Ordering::AcqRel);
        let wanted = arrived.wanted.load(Ordering::Acquire);
        if before < wanted
            && before + count >= wanted
            && let Some(sender) = lock(&arrived.sender).as_ref()
        {
            sender.unpark();
        }
    }
    Ok(())
}

fn send(mut socket: &TcpStream, data: &[u8]) -> Result<(), BenchError> {
    match socket.write(data) {
        Ok(count) if count == data.len() => Ok(()),
        Ok(_) => Err(BenchError::Connection(ErrorKind::WriteZero.into())),
        Err(error) => Err(BenchError::Connection(error)),
    }
}

/// Reads all available bytes and returns their number.
fn drain(mut socket: &TcpStream, buffer: &mut [u8]) -> Result<u64, BenchError> {
    match socket.read(buffer) {
        Ok(count) => Ok(count as u64),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(BenchError::Connection(error)),
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn joined<T>(result: std::thread::Result<Result<T, BenchError>>) -> Result<T, BenchError> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
