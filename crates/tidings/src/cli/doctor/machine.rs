//! Limits of the system, and the disk.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use super::running::Running;
use crate::binding::{self, BACKLOG};
use crate::config::Config;
use crate::open_files;

/// Syncs that are measured.
const SYNCS: usize = 9;
/// A sync that takes longer makes each publisher wait noticeably.
const SYNC_MAX: Duration = Duration::from_millis(20);

/// Checks what no configuration is needed for.
pub(super) fn without_config(system: &Path) -> Vec<Finding> {
    vec![backlog(system), huge_pages(system)]
}

/// Checks the machine for a hub of this configuration.
pub(super) fn with_config(config: &Config, system: &Path, running: &Running) -> Vec<Finding> {
    let mut findings = vec![files(config, running)];
    findings.extend(without_config(system));
    findings.push(ports(config, system));
    if running.is_none() {
        findings.extend(listeners(config));
    }
    findings.extend([conntrack(config, system), disk(config)]);
    findings
}

fn files(config: &Config, running: &Running) -> Finding {
    const CHECK: &str = "open files";
    let needed = open_files::needed(config);
    let (whose, max) = match running.open_files_max() {
        Some(max) => ("the running hub", Some(max)),
        None => ("this user", getrlimit(Resource::Nofile).maximum),
    };
    let Some(max) = max else {
        return Finding::ok(CHECK, "no limit");
    };
    let found =
        format!("{whose} may have {max}, and the limits of the configuration need {needed}");
    if max >= needed as u64 {
        return Finding::ok(CHECK, found);
    }
    let why = "the hub lowers its limits of connections to what fits";
    let change = format!("LimitNOFILE={needed} in the unit, or ulimit -n {needed}");
    Finding::warning(CHECK, found, why, change)
}

fn backlog(system: &Path) -> Finding {
    const CHECK: &str = "backlog";
    let Some(max) = number(system, "proc/sys/net/core/somaxconn") else {
        return Finding::ok(CHECK, "net.core.somaxconn cannot be read here");
    };
    let found = format!("net.core.somaxconn is {max}");
    if max >= u64::from(BACKLOG.unsigned_abs()) {
        return Finding::ok(CHECK, found);
    }
    let why = "when many subscribers reconnect at once, further connections are dropped and retried after a second";
    let change = format!("net.core.somaxconn = {BACKLOG} in /etc/sysctl.d/tidings.conf");
    Finding::warning(CHECK, found, why, change)
}

fn huge_pages(system: &Path) -> Finding {
    const CHECK: &str = "huge pages";
    let path = system.join("sys/kernel/mm/transparent_hugepage/enabled");
    let Ok(text) = fs::read_to_string(path) else {
        return Finding::ok(CHECK, "the system has none, or does not say");
    };
    if !text.contains("[always]") {
        return Finding::ok(CHECK, format!("transparent huge pages: {}", text.trim()));
    }
    match rustix::thread::disable_transparent_huge_pages(true) {
        Ok(()) => Finding::ok(CHECK, "always, which the hub turns off for itself"),
        Err(error) => Finding::warning(
            CHECK,
            format!("always, and a program cannot turn them off for itself: {error}"),
            "a hub with many connections takes several times the memory",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    }
}

/// Looks for listeners in the range from which the system takes ports of outgoing connections.
fn ports(config: &Config, system: &Path) -> Finding {
    const CHECK: &str = "ports";
    let text = fs::read_to_string(system.join("proc/sys/net/ipv4/ip_local_port_range"));
    let text = text.unwrap_or_default();
    let mut ends = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return Finding::ok(CHECK, "the range of outgoing ports cannot be read here");
    };
    let reserved = fs::read_to_string(system.join("proc/sys/net/ipv4/ip_local_reserved_ports"));
    let reserved = reserved.unwrap_or_default();
    let is_reserved = |port: u16| {
        reserved.trim().split(',').any(|entry| {
            let (from, to) = entry.split_once('-').unwrap_or((entry, entry));
            let within = from.parse().ok().zip(to.parse().ok());
            within.is_some_and(|(from, to): (u16, u16)| (from..=to).contains(&port))
        })
    };
    let addresses = config.listens.iter().map(|listen| listen.address);
    let taken: Vec<u16> = addresses
        .chain(config.admin)
        .map(|address| address.port())
        .filter(|port| (first..=last).contains(port) && !is_reserved(*port))
        .collect();
    let Some(port) = taken.first() else {
        return Finding::ok(CHECK, format!("outgoing connections use {first} to {last}"));
    };
    Finding::warning(
        CHECK,
        format!(
            "port {port} of the hub is in the range of outgoing connections, {first} to {last}"
        ),
        "while the hub restarts, another program's connection may be given the port, and the hub cannot start",
        format!("net.ipv4.ip_local_reserved_ports = {port} in /etc/sysctl.d/tidings.conf"),
    )
}

/// Tries to listen where a hub will. For when none runs.
fn listeners(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "listeners";
    let listens = config.listens.iter().enumerate();
    let keys = listens.map(|(at, listen)| (format!("listen.{at}.address"), listen.address));
    let admin = config
        .admin
        .map(|address| ("admin.address".to_owned(), address));
    let finding = |(key, address): (String, SocketAddr)| {
        let Err(error) = binding::open(address, TcpListener::bind) else {
            return Finding::ok(CHECK, format!("{address} is free"));
        };
        let change = match error.is_taken() {
            true => {
                format!("{key}, or stop what listens there; nothing if it is the unit's own socket")
            }
            false => format!("{key}, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"),
        };
        let why = "a hub that this user starts does not get the address";
        Finding::warning(CHECK, error.to_string(), why, change)
    };
    keys.chain(admin).map(finding).collect()
}

fn conntrack(config: &Config, system: &Path) -> Finding {
    const CHECK: &str = "conntrack";
    let Some(max) = number(system, "proc/sys/net/netfilter/nf_conntrack_max") else {
        return Finding::ok(CHECK, "no firewall tracks connections here");
    };
    let count = number(system, "proc/sys/net/netfilter/nf_conntrack_count").unwrap_or_default();
    let wanted = config.limits.connections_max as u64;
    let found = format!(
        "the firewall tracks {count} of at most {max} connections; limits.connections_max is {wanted}"
    );
    if max >= wanted.saturating_mul(2) {
        return Finding::ok(CHECK, found);
    }
    let why = "packets of further connections are dropped without a word to anybody";
    let change = format!(
        "net.netfilter.nf_conntrack_max = {} in /etc/sysctl.d/tidings.conf",
        wanted.saturating_mul(2)
    );
    Finding::warning(CHECK, found, why, change)
}

/// Measures how long the disk takes to keep what a publisher is told to be kept.
fn disk(config: &Config) -> Finding {
    const CHECK: &str = "disk";
    let folder = &config.data_dir;
    let shown = folder.display();
    if !folder.is_dir() {
        return Finding::ok(
            CHECK,
            format!("{shown} is not there yet, so its disk was not measured"),
        );
    }
    match sync_time(folder) {
        Err(error) => Finding::problem(
            CHECK,
            format!("{shown} cannot be written and synced: {error}"),
            "the hub cannot store updates",
            "data.dir: name a folder on a disk with space that the hub may write",
        ),
        Ok(median) if median > SYNC_MAX => Finding::warning(
            CHECK,
            format!(
                "a sync of {shown} takes {:.1} ms",
                median.as_secs_f64() * 1000.0
            ),
            "each publisher waits for a sync; only updates that arrive together share one",
            "data.dir: name a folder on an SSD or a controller with a protected cache",
        ),
        Ok(median) => {
            let ms = median.as_secs_f64() * 1000.0;
            Finding::ok(CHECK, format!("a sync of {shown} takes {ms:.1} ms"))
        }
    }
}

/// Returns the median time of a sync.
fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!("doctor.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let mut measure = || -> std::io::Result<Duration> {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    let times: std::io::Result<Vec<Duration>> = (0..SYNCS).map(|_| measure()).collect();
    fs::remove_file(&path)?;
    let mut times = times?;
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

fn number(system: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(system.join(name)).ok()?;
    text.trim().parse().ok()
}
