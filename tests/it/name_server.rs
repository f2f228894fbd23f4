//! A name server on loopback that knows a few aliases.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

type Aliases = Arc<Mutex<BTreeMap<String, String>>>;
type Addresses = Arc<Mutex<BTreeMap<String, [u8; 4]>>>;

/// Where names are that no address was given for.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];

/// A running name server.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    aliases: Aliases,
    addresses: Addresses,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Starts one that answers each name on the left with an alias of the one on
/// its right, and every other name with an address of loopback.
pub(crate) async fn name_server(aliases: &[(&str, &str)]) -> NameServer {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let table = aliases.iter().map(|(name, real)| ((*name).to_owned(), (*real).to_owned()));
    let aliases: Aliases = Arc::new(Mutex::new(table.collect()));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (known, log) = (Arc::clone(&aliases), Arc::clone(&asked));
    let addresses = Addresses::default();
    let places = Arc::clone(&addresses);
    let task = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some((name, question)) = question(&buffer[..length]) else { continue };
            log.lock().unwrap().push(name.clone());
            let place = places.lock().unwrap().get(&name).copied().unwrap_or(ELSEWHERE);
            let answer = answer(&buffer[..2], &question, &name, &known.lock().unwrap(), place);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    NameServer { address, aliases, addresses, asked, task }
}

impl NameServer {
    /// The `[dns]` section that points to it.
    pub(crate) fn section(&self) -> String {
        format!("[dns]\nserver = \"{}\"", self.address)
    }

    /// The names that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Gives a name an address from now on; zeros are none.
    pub(crate) fn address(&self, name: &str, address: [u8; 4]) {
        self.addresses.lock().unwrap().insert(name.to_owned(), address);
    }

    /// Makes a name an alias from now on.
    pub(crate) fn alias(&self, name: &str, real: &str) {
        self.aliases.lock().unwrap().insert(name.to_owned(), real.to_owned());
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The name that is asked for, and the question's bytes (RFC 1035, 4.1.2).
fn question(message: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8(message.get(at..at + length)?.to_vec()).ok()?);
        at += length;
    }
    Some((labels.join(".").to_ascii_lowercase(), message.get(12..at + 4)?.to_vec()))
}

fn answer(
    id: &[u8],
    question: &[u8],
    name: &str,
    aliases: &BTreeMap<String, String>,
    place: [u8; 4],
) -> Vec<u8> {
    let mut records = Vec::new();
    let mut owner = name.to_owned();
    let mut count: u16 = 0;
    while let Some(real) = aliases.get(&owner) {
        records.extend(record(&owner, 5, &encoded(real)));
        owner.clone_from(real);
        count += 1;
    }
    if place != [0; 4] {
        records.extend(record(&owner, 1, &place));
        count += 1;
    }
    // An answer to one question, no error, no authority, nothing additional.
    let head = [0x81, 0x80, 0, 1];
    [id, &head, &count.to_be_bytes(), &[0; 4], question, &records].concat()
}

fn record(owner: &str, kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let ttl_s: u32 = 300;
    [
        &encoded(owner),
        &kind.to_be_bytes()[..],
        &[0, 1],
        &ttl_s.to_be_bytes(),
        &length.to_be_bytes(),
        value,
    ]
    .concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
