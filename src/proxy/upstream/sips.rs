//! Takes the beginning of what an origin sends in small pieces.
//!
//! hyper reads into ever larger blocks while there is more to read, and holds
//! several of them for a visitor who does not take what he asked for. What is
//! not read stays in the system, where it is bounded and stops the origin.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once at first. One byte less than hyper's smallest block: a
/// block that is filled makes the next one twice as large.
const SIP_BYTES: usize = 8 * 1024 - 1;

/// How much of an answer is read like that: more than the system takes for a
/// visitor who takes nothing. Who took that much has what he asked for sooner
/// when more is read at once.
const SIPPED_BYTES: usize = 192 * 1024;

/// A stream of which little is read at once where an answer begins.
#[derive(Debug)]
pub(super) struct Sips<S> {
    stream: S,
    /// How much was read since something was last said.
    taken: usize,
}

impl<S> Sips<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sips<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() <= SIP_BYTES || self.taken >= SIPPED_BYTES {
            let before = into.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, into);
            self.taken = self.taken.saturating_add(into.filled().len() - before);
            return read;
        }
        let mut sip = ReadBuf::new(into.initialize_unfilled_to(SIP_BYTES));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut sip);
        let taken = sip.filled().len();
        into.advance(taken);
        self.taken = self.taken.saturating_add(taken);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sips<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.taken = 0;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_an_answer_begins_with_is_read_in_sips_and_nothing_is_lost() {
        let sent: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (mut origin, ours) = tokio::io::duplex(1 << 20);
        let mut sips = Sips::new(ours);
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..2 {
            sips.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            origin.write_all(&sent).await.unwrap();
            let (mut heard, mut largest) = (Vec::new(), 0);
            while heard.len() < sent.len() {
                let length = sips.read(&mut buffer).await.unwrap();
                assert!(length <= SIP_BYTES || heard.len() >= SIPPED_BYTES, "{length}");
                largest = largest.max(length);
                heard.extend_from_slice(&buffer[..length]);
            }
            assert!(heard == sent && largest == buffer.len(), "{largest}");
        }
    }
}
