//! The messages in the body of a call, each in its gRPC frame.
//!
//! A message that is too long is refused by its length, unread. What was read is given back to the caller's
//! windows, so that bodies longer than the window arrive, and calls that wait for the store take no room from
//! others on their connection; a body in one piece is not copied.
//!
//! Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::future::poll_fn;

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;

use super::call::Undecided;
use super::{GrpcSettings, status};

/// The bytes before a message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// The messages of one call.
pub(super) struct Messages {
    body: RecvStream,
    at_most: usize,
    /// How much of the connection's window a call may keep until it is answered.
    kept: usize,
    /// Read and not yet taken.
    held: Bytes,
    ended: bool,
}

impl Messages {
    /// Those in `body`, as `settings` allow them.
    pub(super) fn of(body: RecvStream, settings: &GrpcSettings) -> Self {
        let at_most = settings.max_message_bytes;
        Self { body, at_most, kept: share(settings), held: Bytes::new(), ended: false }
    }

    /// The next message, or `None` once the caller has said that there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Undecided> {
        loop {
            if let Some(message) = self.split()? {
                return Ok(Some(message));
            }
            match self.data().await? {
                Some(data) => self.hold(data),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(status::no_frame("the message ends before its length").into()),
            }
        }
    }

    /// Whether the caller has said that there are no more, as far as that is known without waiting.
    pub(super) fn are_over(&self) -> bool {
        self.ended && self.held.is_empty()
    }

    /// The message that what is held begins with, if it is there as a whole.
    fn split(&mut self) -> Result<Option<Bytes>, Undecided> {
        let Some((&[flag, length @ ..], rest)) = self.held.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        match flag {
            0 => {}
            1 => {
                return Err(
                    status::no_frame("the message is compressed, and grpc-encoding is not set").into()
                );
            }
            _ => return Err(status::no_frame("the message has an unknown compression flag").into()),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.at_most {
            return Err(status::too_long(length, self.at_most).into());
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.held.advance(PREFIX_BYTES);
        Ok(Some(self.held.split_to(length)))
    }

    /// What arrives next, or `None` at the end of the body; trailers are not looked at.
    async fn data(&mut self) -> Result<Option<Bytes>, Undecided> {
        if self.ended {
            return Ok(None);
        }
        match poll_fn(|context| self.body.poll_data(context)).await {
            Some(Ok(data)) => {
                self.ended = self.body.is_end_stream();
                if !self.ended || data.len() > self.kept {
                    self.body.flow_control().release_capacity(data.len()).map_err(|_| Undecided::Gone)?;
                }
                Ok(Some(data))
            }
            Some(Err(_)) => Err(Undecided::Gone),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    fn hold(&mut self, data: Bytes) {
        if self.held.is_empty() {
            self.held = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.held));
            joined.extend_from_slice(&data);
            self.held = joined.freeze();
        }
    }
}

/// What every call of a connection can keep while half of the window is left: h2 gives small pieces back only
/// when there is half a window of them. It gives what is kept back by itself once the call is answered, and to
/// do so sooner costs a short call time.
fn share(settings: &GrpcSettings) -> usize {
    let bytes = settings.connection_window_bytes / 2 / settings.max_concurrent_streams.max(1);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
