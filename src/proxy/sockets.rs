//! The sockets that visitors connect to: opened here, or before us by whoever
//! started us, or beside those of a program that is about to leave.

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

const BACKLOG: i32 = 4096;

/// Where listening sockets come from.
#[derive(Debug, Default)]
pub enum Listening {
    /// We open them, and nobody else may listen there.
    #[default]
    Alone,
    /// We open them where another consentry still listens, which makes way as
    /// soon as we serve.
    Beside,
    /// Somebody opened one for us, and keeps it open when we end: whoever
    /// connects meanwhile waits in it.
    Handed(TcpListener),
}

/// Sockets that are ready, one for each who asks.
pub struct Sockets {
    /// Where they really listen: port 0 has become another.
    pub address: SocketAddr,
    /// So many as were wanted.
    pub listeners: Vec<TcpListener>,
    /// Whether they are ours to close for everybody.
    pub(super) are_ours: bool,
}

impl Listening {
    /// So many sockets at `address`, or at the one that was handed over.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn open(self, mut address: SocketAddr, count: usize) -> io::Result<Sockets> {
        let mut listeners = Vec::new();
        if let Self::Handed(socket) = self {
            socket.set_nonblocking(true)?;
            for _ in 0..count {
                listeners.push(socket.try_clone()?);
            }
            return Ok(Sockets { address: socket.local_addr()?, listeners, are_ours: false });
        }
        if matches!(self, Self::Alone) {
            claim(address)?;
        }
        for _ in 0..count {
            let listener = bind(address)?;
            // Port 0 becomes a real one with the first listener.
            address = listener.local_addr()?;
            listeners.push(listener);
        }
        Ok(Sockets { address, listeners, are_ours: true })
    }
}

/// Makes sure that nobody listens there: our workers share their port, so the
/// system would let another consentry share it, too, and take half of the
/// visitors.
fn claim(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 { Ok(()) } else { socket(address)?.bind(&address.into()) }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has new visitors go to the sockets of our successor. Handshakes under way
/// still end here, so nobody who was promised a connection is left without.
///
/// The kernel spreads visitors over all sockets of a port and breaks what is
/// under way at one that closes. So the first packet of a connection is dropped
/// here from now on; it is sent again a second later, when this socket is gone.
pub(super) fn admit_no_more(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF over the TCP header: flags are its byte 13, SYN without ACK
    // begins a connection.
    const FLAGS: SockFilter = SockFilter::new(0x30, 0, 0, 13);
    const SYN_AND_ACK: SockFilter = SockFilter::new(0x54, 0, 0, 0x12);
    const IF_SYN_ALONE: SockFilter = SockFilter::new(0x15, 0, 1, 0x02);
    const DROP: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    const PASS: SockFilter = SockFilter::new(0x06, 0, 0, u32::MAX);
    SockRef::from(listener).attach_filter(&[FLAGS, SYN_AND_ACK, IF_SYN_ALONE, DROP, PASS])
}

/// The next visitor who waits there; `None` when nobody does.
pub(super) fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((socket, address)) => match socket.set_nonblocking(true) {
                Ok(()) => return Some((socket, address)),
                Err(_) => continue,
            },
            // They have gone again; the next may be there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn anywhere() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn k2_only_who_means_to_listens_beside_another() {
        let first = Listening::Alone.open(anywhere(), 2).unwrap();
        assert!(Listening::Alone.open(first.address, 2).is_err());
        let second = Listening::Beside.open(first.address, 2).unwrap();
        assert_eq!(second.address, first.address);
        let stranger = TcpListener::bind(anywhere()).unwrap();
        assert!(Listening::Beside.open(stranger.local_addr().unwrap(), 1).is_err());
    }

    #[test]
    fn k2_a_handed_socket_is_shared_and_outlives_us() {
        let theirs = TcpListener::bind(anywhere()).unwrap();
        let address = theirs.local_addr().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let handed = Listening::Handed(theirs.try_clone().unwrap()).open(nowhere, 3).unwrap();
        assert_eq!((handed.address, handed.listeners.len()), (address, 3));
        drop(handed);
        TcpStream::connect(address).unwrap();
        assert!(waiting(&theirs).is_some(), "who came meanwhile waits for the next one");
    }

    #[test]
    fn k2_who_waits_is_not_lost_and_who_comes_later_finds_the_successor() {
        let old = Listening::Alone.open(anywhere(), 1).unwrap();
        let old_one = &old.listeners[0];
        let early: Vec<_> = (0..20).map(|_| TcpStream::connect(old.address).unwrap()).collect();
        let new = Listening::Beside.open(old.address, 1).unwrap();
        admit_no_more(old_one).unwrap();
        let mut taken = Vec::new();
        while let Some(visitor) = waiting(old_one) {
            taken.push(visitor);
        }
        assert_eq!(taken.len(), early.len());
        let address = old.address;
        let late = std::thread::spawn(move || {
            (0..20).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>().len()
        });
        std::thread::sleep(Duration::from_millis(300));
        assert!(waiting(old_one).is_none(), "nobody new comes here");
        drop(old);
        assert_eq!(late.join().unwrap(), 20, "a connection failed");
        let mut found = 0;
        while waiting(&new.listeners[0]).is_some() {
            found += 1;
        }
        assert_eq!(found, 20);
    }
}
