//! Signals: what each one does; none ends the hub without a drain.

use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;

use rustix::process::Signal;

use super::output::{Hub, check_answers_and_ends};
use crate::harness::serving::serve_tls;
use crate::harness::tokens::settings;
use crate::harness::{EventStream, Request, TestHub, wait_until};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 1\n";

#[test]
fn a_signal_that_asks_for_nothing_is_noted_and_the_hub_goes_on() {
    let mut hub = TestHub::serve(&settings(SERVED));
    let stream = hub.subscribe("match=a");
    for (signal, noted) in [
        (Signal::HUP, "reload: done"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
    ] {
        hub.signal(signal);
        wait_until(noted, || hub.log().contains(noted).then_some(()));
    }
    hub.signal(Signal::PIPE);
    assert_eq!(hub.request(Request::get("/health/live")).status, 200);
    check_drain(&mut hub, Signal::TERM, stream);
}

#[test]
fn what_comes_before_the_hub_is_ready_does_not_end_it() {
    let mut hub = Hub::spawn();
    wait_until("signals are taken", || hub.takes(Signal::HUP).then_some(()));
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE] {
        hub.signal(signal);
    }
    hub.wait_for_answers();
    check_answers_and_ends(&mut hub, "signals at the start");
}

#[test]
fn a_hangup_has_the_certificate_and_the_key_sets_read_again() {
    let (hub, _) = serve_tls("");
    hub.signal(Signal::HUP);
    wait_until("the certificate is read", || {
        hub.log().contains("certificate reloaded").then_some(())
    });
    assert!((hub.metric_for("tidings_certificates_reloaded_total", "ok") - 1.0).abs() < 0.1);

    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::write(folder.path().join("keys.json"), "{\"keys\":[]}").unwrap();
    let issuer =
        "[[auth.issuers]]\nissuer = \"https://a.test\"\njwks_file = \"FOLDER/keys.json\"\n";
    let hub = TestHub::serve_in(folder, &settings(&format!("{SERVED}{issuer}")), &[]);
    let read = || hub.metric_for("tidings_key_sets_read_total", "ok");
    wait_until("the set is read", || (read() > 0.0).then_some(()));
    let before = read();
    hub.signal(Signal::HUP);
    wait_until("the set is read again", || (read() > before).then_some(()));
}

#[test]
fn a_developers_hub_ends_in_good_form_with_its_terminal() {
    let mut hub = TestHub::dev();
    let stream = hub.subscribe("match=a");
    check_drain(&mut hub, Signal::HUP, stream);
}

#[test]
fn a_developers_hub_under_nohup_outlives_its_terminal() {
    let mut hub = TestHub::dev_under(&["nohup"]);
    hub.signal(Signal::HUP);
    let stream = hub.subscribe("match=a");
    check_drain(&mut hub, Signal::TERM, stream);
}

#[test]
fn a_terminal_that_is_gone_does_not_end_the_hub() {
    let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let side = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut hub = Hub::serve_on(side);
    let mut terminal = File::from(terminal);
    assert!(terminal.read(&mut [0; 64]).unwrap() > 0);
    drop(terminal);
    check_answers_and_ends(&mut hub, "a closed terminal");
}

/// The signal must end the stream properly, and the process with exit code 0.
#[track_caller]
fn check_drain(hub: &mut TestHub, signal: Signal, mut stream: EventStream) {
    hub.signal(signal);
    assert_eq!(stream.next_event(), None);
    let status = hub.wait_for_exit();
    assert!(status.success(), "{status}: {}", hub.log());
}
