//! QUIC's ends: servers that say their name and make connection ids of their server id, and clients that move.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, LazyLock},
    time::Duration,
};

use quinn::{
    ClientConfig, Connection, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, Incoming, ServerConfig,
    TokioRuntime, TransportConfig,
    rustls::{RootCertStore, pki_types::PrivatePkcs8KeyDer},
};
use rcgen::{CertifiedKey, KeyPair};
use tokio::{task::JoinHandle, time::timeout};

/// Whom the certificate is of.
const NAME: &str = "quic.test";
/// Bytes of a server's connection ids.
const ID_BYTES: usize = 8;
/// What is asked, and what is said before the server's name.
const QUESTION: &[u8] = b"who?";
const ANSWER_BYTES: usize = 64;

static CERTIFICATE: LazyLock<CertifiedKey<KeyPair>> =
    LazyLock::new(|| rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate"));

/// A backend's server id, by its number.
pub fn server_id(number: u8) -> String {
    format!("0a{number:02x}")
}

/// Makes connection ids of config 0 for a server id.
struct Named([u8; 2]);

impl ConnectionIdGenerator for Named {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id: [u8; ID_BYTES] = std::array::from_fn(|_| fastrand::u8(..));
        // The draft's length of an id, less its first octet, in the lower five bits.
        id[0] = ID_BYTES as u8 - 1;
        id[1..3].copy_from_slice(&self.0);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Answers each question with its name, until it is dropped.
pub struct Server {
    endpoint: Endpoint,
    accepts: JoinHandle<()>,
}

impl Server {
    /// To be called within a runtime.
    pub fn start(name: &str, number: u8, socket: UdpSocket) -> Self {
        let mut config = EndpointConfig::default();
        config.cid_generator(move || Box::new(Named([0x0a, number])));
        let CertifiedKey { cert, signing_key } = &*CERTIFICATE;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
        let mut server = ServerConfig::with_single_cert(vec![cert.der().clone()], key).expect("a server");
        server.transport_config(transport());
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(config, Some(server), socket, runtime).expect("an endpoint");
        let (listening, name) = (endpoint.clone(), name.to_owned());
        let accepts = tokio::spawn(async move {
            while let Some(incoming) = listening.accept().await {
                tokio::spawn(answer(incoming, name.clone()));
            }
        });
        Self { endpoint, accepts }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepts.abort();
        self.endpoint.close(0u8.into(), b"");
    }
}

/// Who goes away in between is nobody's loss.
async fn answer(incoming: Incoming, name: String) -> Option<()> {
    let connection = incoming.await.ok()?;
    loop {
        let (mut answer, mut question) = connection.accept_bi().await.ok()?;
        question.read_to_end(ANSWER_BYTES).await.ok()?;
        answer.write_all(name.as_bytes()).await.ok()?;
        answer.finish().ok()?;
    }
}

/// One connection of an endpoint of its own.
pub struct Client {
    endpoint: Endpoint,
    connection: Connection,
}

impl Client {
    pub async fn connect(socket: UdpSocket, server: SocketAddr, within: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CERTIFICATE.cert.der().clone()).expect("a certificate");
        let mut config = ClientConfig::with_root_certificates(Arc::new(roots)).expect("a client");
        config.transport_config(transport());
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime).expect("an endpoint");
        let connecting = endpoint.connect_with(config, server, NAME).expect("a way");
        let connection = timeout(within, connecting).await.expect("an answer in time").expect("a connection");
        Self { endpoint, connection }
    }

    /// Has all that follows come from another address. To be called within a runtime.
    pub fn move_to(&self, socket: UdpSocket) {
        self.endpoint.rebind(socket).expect("another socket");
    }

    /// Who answers.
    pub async fn ask(&self, within: Duration) -> Option<String> {
        let answer = async {
            let (mut question, mut answer) = self.connection.open_bi().await.ok()?;
            question.write_all(QUESTION).await.ok()?;
            question.finish().ok()?;
            String::from_utf8(answer.read_to_end(ANSWER_BYTES).await.ok()?).ok()
        };
        timeout(within, answer).await.ok().flatten()
    }
}

/// Each datagram is a packet: the site's interfaces do not cut any to size.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.enable_segmentation_offload(false);
    Arc::new(transport)
}
