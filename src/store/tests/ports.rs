//! A port for who is to listen on it later, or for nobody. The tests over HTTP (`tests/support`) use this file, too.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that nobody else is given for as long as this lives. The socket that holds it never listens, so
/// connections are refused until a server that sets SO_REUSEADDR, as most do, listens there.
pub struct ReservedPort {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }

    pub fn number(&self) -> u16 {
        self.address.port()
    }
}
