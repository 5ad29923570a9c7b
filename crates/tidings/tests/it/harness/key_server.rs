//! An issuer's HTTPS server that publishes keys, and misbehaves as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::run;

/// What the server does with a request.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers 200 with this body.
    Document(String),
    /// Answers with these bytes, whatever they are, and closes.
    Raw(String),
    /// Sends the head, then one byte of the body, then nothing.
    Stall,
    /// Sends a body without end.
    Endless,
    /// Closes before the handshake.
    Close,
}

/// The server. Its thread ends with the process.
pub struct KeyServer {
    pub address: SocketAddr,
    authority: PathBuf,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    /// Starts one on a free port of this machine; its certificate is written into `folder`.
    pub fn start(folder: &Path, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::start_on(listener, folder, behaviour)
    }

    /// The same on a port that was bound before.
    pub fn start_on(listener: TcpListener, folder: &Path, behaviour: Behaviour) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let authority = folder.join("issuer.pem");
        std::fs::write(&authority, made.cert.pem()).expect("written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            authority,
            behaviour: Arc::new(Mutex::new(behaviour)),
            requests: Arc::default(),
        };
        let (behaviour, requests) = (Arc::clone(&server.behaviour), Arc::clone(&server.requests));
        let tls = Arc::new(tls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let behaviour = behaviour.lock().expect("a behaviour").clone();
                let (tls, requests) = (Arc::clone(&tls), Arc::clone(&requests));
                std::thread::spawn(move || serve(stream, tls, behaviour, &requests));
            }
        });
        server
    }

    /// Returns the address of the key set.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/keys", self.address.port())
    }

    /// Returns the environment with which a hub trusts this server.
    pub fn environment(&self) -> [(&'static str, &str); 1] {
        [("SSL_CERT_FILE", self.authority.to_str().expect("a path"))]
    }

    /// Changes what the server does from the next connection on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("a behaviour") = behaviour;
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&IssuerKey]) {
        self.behave(document(keys));
    }

    /// Returns how many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Returns the behaviour of a server with these keys.
pub fn document(keys: &[&IssuerKey]) -> Behaviour {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
    Behaviour::Document(json!({"keys": keys}).to_string())
}

fn serve(stream: TcpStream, tls: Arc<ServerConfig>, behaviour: Behaviour, requests: &AtomicUsize) {
    if matches!(behaviour, Behaviour::Close) {
        requests.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let connection = ServerConnection::new(tls).expect("a configuration");
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let stream = stream.get_mut();
    // The hub may give up at any moment; that is what some tests are about.
    let outcome = match behaviour {
        Behaviour::Document(body) => {
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
            write!(stream, "{head}: {length}\r\n\r\n{body}")
        }
        Behaviour::Raw(bytes) => stream.write_all(bytes.as_bytes()),
        Behaviour::Stall => {
            let head = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{{");
            drop(stream.flush());
            drop(stream.read(&mut [0; 1]));
            head
        }
        Behaviour::Endless => {
            let chunk = " ".repeat(16 * 1024);
            let mut outcome = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
            while outcome.is_ok() {
                outcome = stream.write_all(chunk.as_bytes());
            }
            outcome
        }
        Behaviour::Close => Ok(()),
    };
    drop(outcome);
    stream.conn.send_close_notify();
    drop(stream.flush());
}

/// A key pair of an issuer.
pub struct IssuerKey {
    pub kid: String,
    /// As the key set has it.
    pub public: Value,
    private: tempfile::NamedTempFile,
}

impl IssuerKey {
    /// Makes a pair for ES256.
    pub fn new(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("made");
        let (x, y) = pair.der_bytes()[1..].split_at(32);
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let private = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(private.path(), pair.serialize_pem()).expect("written");
        Self {
            kid: kid.to_owned(),
            public: json!({
                "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
                "x": encoded(x), "y": encoded(y),
            }),
            private,
        }
    }

    /// Makes a token that publishes and reads everything on the hub of `audience`.
    pub fn token(&self, issuer: &str, audience: &str) -> String {
        self.token_named(issuer, audience, &self.kid)
    }

    /// The same with another name of the key.
    pub fn token_named(&self, issuer: &str, audience: &str, kid: &str) -> String {
        let file = self.private.path().to_str().expect("a path");
        let (code, token, error) = run(
            &[
                "token",
                "make",
                "--issuer",
                issuer,
                "--audience",
                audience,
                "--key-file",
                file,
                "--algorithm",
                "ES256",
                "--kid",
                kid,
                "--publish",
                "*",
                "--subscribe",
                "*",
            ],
            &[],
        );
        assert_eq!(code, 0, "{error}");
        token.trim().to_owned()
    }
}
