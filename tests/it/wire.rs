//! Speaks HTTP in raw bytes: what a well-behaved client library would not
//! send, or would hide.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, to write to and to read from byte by byte.
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    end: Option<End>,
}

/// How the other side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// One answer off the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its head said it would.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The value of a field, in lower case; several are joined.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

impl Wire {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), end: None }
    }

    /// Writes; that the other side does not listen any more is no mistake.
    pub(crate) async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Says that nothing more will be said.
    pub(crate) async fn hangs_up(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Asks for a path and reads the answer.
    pub(crate) async fn asks(&mut self, method: &str, path: &str, fields: &str) -> Answer {
        self.says(format!("{method} {path} HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n")).await;
        self.answer(method).await
    }

    /// Reads until some text has arrived.
    pub(crate) async fn hears(&mut self, text: &str) {
        while !self.buffer.windows(text.len()).any(|window| window == text.as_bytes()) {
            assert!(
                self.read().await,
                "`{text}` does not arrive, only {:?}",
                String::from_utf8(self.buffer.clone())
            );
        }
    }

    /// Reads whatever comes next.
    pub(crate) async fn more(&mut self) {
        assert!(
            self.read().await,
            "the connection ended after {:?}",
            String::from_utf8(self.buffer.clone())
        );
    }

    /// What has arrived and was not taken yet.
    pub(crate) fn heard(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads so many bytes.
    pub(crate) async fn takes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.read().await, "the connection ended after {:?}", self.buffer);
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads to the end of the connection.
    pub(crate) async fn end(&mut self) -> End {
        while self.read().await {}
        self.end.unwrap()
    }

    /// Asks for a path and reads the whole answer, unless the other side is
    /// gone before its end.
    pub(crate) async fn asks_while_it_lives(&mut self, path: &str) -> Option<Answer> {
        self.says(format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")).await;
        while !self.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.read().await {
                return None;
            }
        }
        Some(self.answer("GET").await).filter(|answer| answer.complete)
    }

    /// Reads one answer, without those that only announce it.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        loop {
            let answer = self.any_answer(method).await;
            if answer.status >= 200 || answer.status == 101 {
                return answer;
            }
        }
    }

    async fn any_answer(&mut self, method: &str) -> Answer {
        let head = self.head().await;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: Vec::new(), complete: true };
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding").is_some() {
            answer.complete = self.chunks(&mut answer.body).await;
        } else if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            while self.buffer.len() < length && self.read().await {}
            answer.complete = self.buffer.len() >= length;
            let end = length.min(self.buffer.len());
            answer.body = self.buffer.drain(..end).collect();
        } else {
            answer.complete = self.end().await == End::Closed;
            answer.body = std::mem::take(&mut self.buffer);
        }
        answer
    }

    async fn head(&mut self) -> String {
        let at = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.read().await,
                "no answer, but {:?} {:?}",
                String::from_utf8(self.buffer.clone()),
                self.end
            );
        };
        let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// Whether the last chunk came.
    async fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(line) = self.line().await else { return false };
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                while let Some(line) = self.line().await {
                    if line.is_empty() {
                        return true;
                    }
                }
                return false;
            }
            while self.buffer.len() < size + 2 {
                if !self.read().await {
                    body.append(&mut self.buffer);
                    return false;
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Reads what there is; false at the end of the connection.
    async fn read(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let mut piece = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
        match read.unwrap_or_else(|_| {
            panic!("nothing more came after {:?}", String::from_utf8(self.buffer.clone()))
        }) {
            Ok(0) => self.end = Some(End::Closed),
            Err(_) => self.end = Some(End::Reset),
            Ok(length) => self.buffer.extend_from_slice(&piece[..length]),
        }
        self.end.is_none()
    }
}
