//! Connections as tonic takes them, with a limit on the time before the first byte.
//!
//! HTTP/2 keepalive begins with the handshake; a peer that opens a connection and says nothing would hold it
//! for ever.

use std::io;
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::transport::accept::Connections;

/// The length of the HTTP/2 preface.
const PREFACE_BYTES: usize = 24;

/// A connection whose peer has yet to send an HTTP/2 preface, or has.
pub(super) struct Greeted {
    stream: TcpStream,
    missing: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The connections, each with `patience` to send its preface.
pub(super) fn greeted(
    connections: Connections,
    patience: Duration,
) -> impl Stream<Item = io::Result<Greeted>> {
    ReceiverStream::new(connections).map(move |stream: net::TcpStream| {
        let stream = TcpStream::from_std(stream)?;
        let deadline = Some(Box::pin(tokio::time::sleep(patience)));
        Ok(Greeted { stream, missing: PREFACE_BYTES, deadline })
    })
}

impl Connected for Greeted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else {
            return polled;
        };
        if polled.is_pending() && deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
        if self.missing == 0 {
            self.deadline = None;
        }
        polled
    }
}

impl AsyncWrite for Greeted {
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
