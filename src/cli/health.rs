//! `consentry health`: asks the admin listener, for containers that have no
//! curl.

use crate::cli::{FINE, UNAVAILABLE};

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Which proxy to ask.
#[derive(clap::Args, Debug)]
pub struct HealthArgs {
    /// The admin listener
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9180",
        env = "CONSENTRY_ADMIN__ADDRESS"
    )]
    pub admin: SocketAddr,
}

/// Asks once; exit code 0 when visitors may be sent there, 69 otherwise.
pub fn run(args: &HealthArgs, out: &mut dyn Write) -> i32 {
    match ask(args.admin) {
        Ok((true, answer)) => {
            let _ = writeln!(out, "ready: {}", answer.trim());
            FINE
        }
        Ok((false, answer)) => {
            let _ = writeln!(out, "not ready: {}", answer.trim());
            UNAVAILABLE
        }
        Err(error) => {
            let _ = writeln!(out, "no answer from {}: {error}", args.admin);
            UNAVAILABLE
        }
    }
}

fn ask(admin: SocketAddr) -> std::io::Result<(bool, String)> {
    let wait = Duration::from_secs(3);
    // An admin listener on all addresses is asked on this machine.
    let admin = if admin.ip().is_unspecified() {
        SocketAddr::new([127, 0, 0, 1].into(), admin.port())
    } else {
        admin
    };
    let mut socket = TcpStream::connect_timeout(&admin, wait)?;
    socket.set_read_timeout(Some(wait))?;
    socket.set_write_timeout(Some(wait))?;
    write!(socket, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(64 * 1024).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    Ok((answer.starts_with("HTTP/1.1 200"), body))
}
