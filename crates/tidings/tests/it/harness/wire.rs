//! A connection that can be held up, between a hub and what it connects to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// A listener of its own before an address. While it is held, bytes wait in both directions.
pub struct Wire {
    pub address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    to: Mutex<Option<SocketAddr>>,
    held: Mutex<bool>,
    freed: Condvar,
}

impl Wire {
    pub fn before(to: SocketAddr) -> Self {
        let wire = Self::loose();
        wire.lead_to(Some(to));
        wire
    }

    /// A wire that leads nowhere: whoever connects is cut off.
    pub fn loose() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let gate = Arc::<Gate>::default();
        let own = Arc::clone(&gate);
        // It ends with the process of the test.
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                // The hub sees the end of a connection that cannot be passed on.
                own.connect(&from).ok();
            }
        });
        Self { address, gate }
    }

    /// Lets later connections lead there.
    pub fn lead_to(&self, to: Option<SocketAddr>) {
        *self.gate.to.lock().expect("no panic") = to;
    }

    pub fn hold(&self) {
        *self.gate.held.lock().expect("no panic") = true;
    }

    pub fn free(&self) {
        *self.gate.held.lock().expect("no panic") = false;
        self.gate.freed.notify_all();
    }
}

impl Gate {
    fn connect(self: &Arc<Self>, from: &TcpStream) -> io::Result<()> {
        let to = *self.to.lock().expect("no panic");
        let to = TcpStream::connect(to.ok_or(io::ErrorKind::NotConnected)?)?;
        let ways = [
            (from.try_clone()?, to.try_clone()?),
            (to, from.try_clone()?),
        ];
        for (mut reader, mut writer) in ways {
            let gate = Arc::clone(self);
            thread::spawn(move || {
                gate.pass_on(&mut reader, &mut writer).ok();
                reader.shutdown(Shutdown::Both).ok();
                writer.shutdown(Shutdown::Both).ok();
            });
        }
        Ok(())
    }

    fn pass_on(&self, reader: &mut TcpStream, writer: &mut TcpStream) -> io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let count = reader.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            let held = self.held.lock().expect("no panic");
            drop(self.freed.wait_while(held, |held| *held).expect("no panic"));
            writer.write_all(&piece[..count])?;
        }
    }
}
