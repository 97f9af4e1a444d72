//! Which protocol the other end speaks: its first bytes tell.
//!
//! HTTP/2 begins with a text that no request of HTTP/1.1 begins with. Nothing is lost: what was read is read again.
//!
//! Source: RFC 9113, section 3.4.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// With anything else.
    Http1,
    /// As HTTP/2 does.
    Http2,
}

/// A stream of which some bytes were read that are to be read again.
#[derive(Debug)]
pub(super) struct Greeted<S> {
    stream: S,
    heard: [u8; PREFACE.len()],
    /// Which of those are to be read: from here,
    read: usize,
    /// and to here.
    known: usize,
}

impl<S: AsyncRead + Unpin> Greeted<S> {
    /// How `stream` begins. It waits for as many bytes as it takes to tell.
    pub(super) async fn hear(stream: S) -> io::Result<(Greeting, Self)> {
        let mut greeted = Self { stream, heard: [0; PREFACE.len()], read: 0, known: 0 };
        while greeted.known < PREFACE.len() {
            let before = greeted.known;
            std::future::poll_fn(|context| greeted.poll_more(context)).await?;
            if greeted.known == before || !PREFACE.starts_with(&greeted.heard[..greeted.known]) {
                return Ok((Greeting::Http1, greeted));
            }
        }
        Ok((Greeting::Http2, greeted))
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(&mut self.heard[self.known..]);
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        self.known += buffer.filled().len();
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.known {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let end = self.known.min(self.read + buffer.remaining());
        buffer.put_slice(&self.heard[self.read..end]);
        self.read = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use tokio::io::{AsyncReadExt, ReadBuf};

    use super::{Greeted, Greeting, PREFACE};

    /// One that tells a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl tokio::io::AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if let Some((first, rest)) = self.0.split_first() {
                buffer.put_slice(&[*first]);
                self.0 = rest;
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_first_bytes_tell_and_are_read_again() {
        let whole = [PREFACE, b"\0\0\0"].concat();
        for (sent, expected) in [
            (&whole[..], Greeting::Http2),
            (PREFACE, Greeting::Http2),
            (&PREFACE[..23], Greeting::Http1),
            (b"PRI * HTTP/1.1\r\n\r\n", Greeting::Http1),
            (b"GET / HTTP/1.1\r\n\r\n", Greeting::Http1),
            (b"P", Greeting::Http1),
            (b"", Greeting::Http1),
        ] {
            let (slow, mut again) = (Greeted::hear(Slow(sent)).await.unwrap(), Vec::new());
            let (greeting, mut stream) = slow;
            stream.read_to_end(&mut again).await.unwrap();
            assert_eq!((greeting, &again[..]), (expected, sent));
            let (greeting, mut stream) = Greeted::hear(sent).await.unwrap();
            again.clear();
            stream.read_to_end(&mut again).await.unwrap();
            assert_eq!((greeting, &again[..]), (expected, sent));
        }
    }
}
