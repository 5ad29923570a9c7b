//! Served hubs with an operators' listener, and with TLS.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::exchange::ReadWrite;
use super::served::{SERVED, served_token};
use super::{Connection, DEADLINE, TestHub};

/// Returns a configuration with an operators' listener, followed by `more`.
pub fn toml(more: &str) -> String {
    format!("{SERVED}\n[admin]\naddress = \"127.0.0.1:0\"\n{more}\n")
}

/// Returns a token that may publish and read everything.
pub fn token() -> String {
    served_token(&["--publish", "*", "--subscribe", "*"])
}

/// A certificate for localhost, written into a folder.
pub struct Certificate {
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Makes one and writes `certificate.pem` and `key.pem`.
    pub fn write(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        fs::write(folder.join("certificate.pem"), made.cert.pem()).expect("written");
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        Self {
            der: made.cert.der().clone(),
        }
    }

    /// Returns the part of a configuration that uses it.
    pub fn toml() -> &'static str {
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [tls]\ncertificate = \"FOLDER/certificate.pem\"\nkey = \"FOLDER/key.pem\"\n"
    }

    /// Returns the state of a peer that trusts it and has said nothing yet.
    pub fn peer(&self) -> ClientConnection {
        self.peer_with(&[])
    }

    /// The same, offering these protocols by ALPN.
    pub fn peer_with(&self, protocols: &[&[u8]]) -> ClientConnection {
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::new(self.config(protocols)), name).expect("a configuration")
    }

    /// Returns what such a peer is made of.
    pub fn config(&self, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// Speaks TLS over a stream.
    pub fn over<S: ReadWrite>(&self, stream: S) -> StreamOwned<ClientConnection, S> {
        StreamOwned::new(self.peer(), stream)
    }

    /// Connects with TLS.
    pub fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(address).expect("the hub accepts connections");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        stream.set_write_timeout(Some(DEADLINE)).expect("an option");
        self.over(stream)
    }

    /// Connects with TLS, to speak HTTP.
    pub fn open(&self, hub: &TestHub) -> Connection {
        Connection::over(hub.address, self.connect(hub.address))
    }
}

/// Starts `serve` with TLS; `more` is added to its configuration.
pub fn serve_tls(more: &str) -> (TestHub, Certificate) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let certificate = Certificate::write(folder.path());
    let toml = toml(&format!("{}{more}", Certificate::toml()));
    (TestHub::serve_in(folder, &toml, &[]), certificate)
}
