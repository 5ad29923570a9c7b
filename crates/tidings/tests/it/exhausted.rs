//! A hub that has no file descriptors left, and peers whose network is gone.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::harness::tokens::settings;
use crate::harness::{HUB_PATH, TestHub, note, wait_until};

const ADMIN: &str = "[subscribe]\nanonymous = true\n[admin]\naddress = \"127.0.0.1:0\"\n\
                     [server]\nshards = 1\n";

#[test]
fn without_file_descriptors_operators_are_answered() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let limit = "ulimit -n 192; exec \"$0\" \"$@\"";
    let hub = TestHub::serve_under(&["sh", "-c", limit], folder, &settings(ADMIN));
    let warning = "the limit of open files (nofile) is too low";
    assert_eq!(hub.log().matches(warning).count(), 1, "{}", hub.log());
    let crowd: Vec<TcpStream> = (0..400)
        .map(|_| TcpStream::connect(hub.address).unwrap())
        .collect();
    hub.wait_for_metric("tidings_connections_refused_total", |count| count >= 200.0);
    let text = hub.request_admin("/metrics");
    assert_eq!(text.status, 200);
    assert_eq!(hub.log().matches("cannot accept connections").count(), 0);
    drop(crowd);
    hub.subscribe("match=*");
}

#[test]
fn with_enough_file_descriptors_nothing_is_said() {
    let hub = TestHub::serve(&settings(&format!(
        "{ADMIN}[limits]\nconnections_max = 20\n"
    )));
    assert!(!hub.log().contains("nofile"), "{}", hub.log());
}

/// The only network of the hub and its peer goes down: nothing arrives any more, not even a reset.
#[test]
fn a_peer_whose_network_is_gone_is_forgotten_after_a_few_keep_alives() {
    if !Command::new("unshare")
        .args(["-rn", "ip", "link", "set", "lo", "up"])
        .status()
        .is_ok_and(|status| status.success())
    {
        return note("skipped: this machine makes no network namespaces for its users");
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let inside = "ip link set lo up && exec \"$0\" \"$@\"";
    let toml = settings(
        "[subscribe]\nanonymous = true\nkeep_alive_secs = 1\n[limits]\nstall_timeout_secs = 1\n",
    );
    let hub = TestHub::serve_under(&["unshare", "-rn", "sh", "-c", inside], folder, &toml);
    let port = hub.address.port();
    let enter = |script: &str| {
        let pid = hub.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-U", "-n", "--preserve-credentials"]);
        command.args(["bash", "-c", script]);
        command
    };
    let visit = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         printf 'GET {HUB_PATH}?match=* HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n' >&3; exec cat <&3"
    );
    let mut visitor = enter(&visit).stdout(Stdio::piped()).spawn().unwrap();
    let mut head = String::new();
    let mut answer = BufReader::new(visitor.stdout.take().unwrap());
    answer.read_line(&mut head).unwrap();
    assert_eq!(head.trim_end(), "HTTP/1.1 200 OK");
    assert_eq!(established(hub.pid(), port), 1);
    assert!(enter("ip link set lo down").status().unwrap().success());
    wait_until("the connection is given up", || {
        (established(hub.pid(), port) == 0).then_some(())
    });
    visitor.kill().unwrap();
    visitor.wait().unwrap();
}

/// Returns how many connections to `port` stand in the process's network.
fn established(pid: u32, port: u16) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let here = format!(":{port:04X}");
    let rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| {
        row.get(1).is_some_and(|local| local.ends_with(&here))
            && row.get(3).is_some_and(|state| *state == "01")
    })
    .count()
}
