//! An acknowledgement in system calls: the update's bytes are written to the write-ahead log, the log is
//! synced, and only then the answer is sent. A slow test: it needs `strace`, and a machine that allows tracing.
//! The short form is `acknowledged.rs` of `tidings-history`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Connection, HUB_PATH, Request, TestHub, wait_until};

const PUBLISHERS: usize = 4;
const UPDATES_EACH: usize = 25;

#[test]
#[ignore = "slow: under strace"]
fn the_kernel_sees_the_sync_of_an_update_before_its_acknowledgement() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace").display().to_string();
    // -D: the hub itself is the child, not strace. -y: names of files. -s: whole pages.
    let strace = [
        "strace",
        "-D",
        "-f",
        "-y",
        "-s",
        "9000",
        "-o",
        &trace,
        "-e",
        "trace=fsync,fdatasync,pwrite64,write,writev,sendto",
    ];
    let mut hub = TestHub::serve_under(&strace, Arc::clone(&folder), &settings(""));
    let token = token_for_all();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (address, token) = (hub.address, token.clone());
            std::thread::spawn(move || {
                let mut connection = Connection::open(address);
                (0..UPDATES_EACH)
                    .map(|number| {
                        let data = format!("marker-{publisher}-{number}.");
                        let form = [("topic", "https://example.com/"), ("data", data.as_str())];
                        let request = Request::post(HUB_PATH).bearer(&token).form(&form);
                        (connection.request(&request).text(), data)
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let acknowledged: HashMap<String, String> = (publishers.into_iter())
        .flat_map(|publisher| publisher.join().unwrap())
        .collect();
    assert_eq!(acknowledged.len(), PUBLISHERS * UPDATES_EACH);
    hub.stop();
    let text = wait_until("the trace is complete", || {
        let text = std::fs::read_to_string(&trace).ok()?;
        text.contains("+++ exited").then_some(text)
    });
    assert_eq!(check(&text, &acknowledged), PUBLISHERS * UPDATES_EACH);
}

/// Goes through the trace line by line. Returns how many answers stand after the sync that covers
/// their updates; one that stands before fails the test.
fn check(trace: &str, acknowledged: &HashMap<String, String>) -> usize {
    let log = "history.db-wal>";
    let (mut written, mut synced) = (HashSet::new(), HashSet::new());
    // What the sync covers that a thread has begun.
    let mut begun = HashMap::new();
    let mut answers = 0;
    for line in trace.lines() {
        let thread = line.split(' ').next().unwrap_or_default();
        if line.contains("pwrite64(") && line.contains(log) {
            let markers = line.split("marker-").skip(1);
            written.extend(markers.filter_map(|rest| Some(rest.split_once('.')?.0)));
        } else if line.contains("sync(") && line.contains(log) {
            begun.insert(thread, written.clone());
            if line.ends_with("= 0") {
                synced.extend(begun.remove(thread).unwrap_or_default());
            }
        } else if line.contains("sync resumed>") && line.ends_with("= 0") {
            synced.extend(begun.remove(thread).unwrap_or_default());
        } else if line.contains("HTTP/1.1 200") {
            for (id, data) in acknowledged.iter().filter(|(id, _)| line.contains(*id)) {
                let marker = data.trim_start_matches("marker-").trim_end_matches('.');
                assert!(
                    synced.contains(marker),
                    "{id} was acknowledged before the sync of {data}"
                );
                answers += 1;
            }
        }
    }
    answers
}
